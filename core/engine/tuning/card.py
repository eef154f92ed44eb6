"""README.md beside trained weights: what they are, on what they stand, and what the training said.

Its head is the Hugging Face hub's front matter. Names of the hub go into it, paths of this machine do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from core.models.notes import AdapterNotes
from core.untrusted import inert, inert_line

CARD_FILE = "README.md"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_METHODS = {"lora": "LoRA", "p_tuning": "P-Tuning v2", "freeze": "freeze tuning", "full": "full tuning"}


def write_card(
    folder: Path, notes: AdapterNotes, facts: Mapping[str, object], results: Mapping[str, float] | None = None
) -> None:
    """Write the card, over an earlier one.

    Args:
        facts: the method's numbers by name: rank, trained parameters.
        results: the run's numbers by name, when there are any: `train_loss`, `eval_loss`.
    """
    front = yaml.safe_dump(_front_matter(notes), sort_keys=False, allow_unicode=True)
    name = notes.base if _HUB_ID.fullmatch(notes.base) else Path(notes.base).name
    lines = [
        f"# {_METHODS.get(notes.method, notes.method)} of {inert_line(name)}",
        "",
        "Trained with finetui. `finetui.json` holds what a chat has to do as the training did.",
        "",
        *_table({"base": name, "method": notes.method, **facts, **_asked(notes)}),
    ]
    if notes.datasets:
        lines += ["", "## Data", "", *(f"- {_cell(dataset)}" for dataset in notes.datasets)]
    if results:
        lines += ["", "## Results", "", *_table(results)]
    lines += ["", "## Versions", "", *_table(notes.versions)]
    (folder / CARD_FILE).write_text(f"---\n{front}---\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _front_matter(notes: AdapterNotes) -> dict[str, Any]:
    front: dict[str, Any] = {}
    if _HUB_ID.fullmatch(notes.base):
        front["base_model"] = notes.base
        front["base_model_relation"] = "finetune" if notes.method in ("full", "freeze") else "adapter"
    if notes.method != "p_tuning":
        front["library_name"] = "peft" if notes.method == "lora" else "transformers"
    front["pipeline_tag"] = "text-generation"
    front["tags"] = ["finetui", notes.method]
    return front


def _asked(notes: AdapterNotes) -> dict[str, object]:
    """How it is asked, as far as that is its own."""
    asked: dict[str, object] = {
        "template": notes.template,
        "system prompt": notes.default_system,
        "source prefix": notes.source_prefix,
        "trained over": ", ".join(Path(lower.path).name for lower in notes.chain),
        "bits of the base": notes.quantization_bit,
    }
    return {name: value for name, value in asked.items() if value}


def _table(rows: Mapping[str, object]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())]


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(inert(text).split()).replace("|", "\\|")
