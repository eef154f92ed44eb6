"""Folders that look from outside like what a step will have made, so that what stands on it can be looked at before.

An adapter is its configuration and a weights file without weights, a whole model its base's configuration and links to
its weights. All that is read before a start is headers; nothing is ever loaded from here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.load import Settings
from core.errors import ModelError
from core.models.adapters import CONFIG_FILE
from core.models.catalog import resolve_model
from core.models.info import ModelInfo, read_json
from core.models.notes import PREFIX_FILE, AdapterNotes, PrefixFacts, write_notes
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD
from core.workspace import Workspace

_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class StandIn:
    """A folder in the place of what a step will have made."""

    folder: Path
    model: ModelInfo | None
    """What the step trains; None where that is not here, and the folder tells less than the step's will."""


def make_stand_in(settings: Settings, folder: Path, workspace: Workspace) -> StandIn:
    """Make a folder as a training will have left it.

    Args:
        settings: of the training, with folders in the place of earlier steps.
    """
    values = settings.values()
    try:
        model: ModelInfo | None = resolve_model(values["model_name_or_path"], workspace)
    except ModelError:  # told as a problem of the step itself
        model = None
    folder.mkdir(parents=True)
    if values["finetuning_type"] in ("full", "freeze") and model is not None:
        for file in model.path.iterdir():
            (folder / file.name).symlink_to(file.absolute())
    else:
        _adapter(folder, values, model)
    if values["stage"] == "rm":
        _safetensors(folder / VALUE_HEAD, {HEAD_WEIGHT: [1, _width(model)]})
    return StandIn(folder, model)


def _adapter(folder: Path, values: Mapping[str, Any], model: ModelInfo | None) -> None:
    base = str(model.path) if model is not None else ""
    prefix = None
    if values["finetuning_type"] == "p_tuning":
        prefix = PrefixFacts(values["pre_seq_len"], values["prefix_projection"])
        _safetensors(folder / PREFIX_FILE, {})
    else:
        config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": values["lora_rank"]}
        config |= {"use_dora": values["use_dora"], "task_type": "CAUSAL_LM"}
        (folder / CONFIG_FILE).write_text(json.dumps(config))
        _safetensors(folder / _WEIGHTS, {})
    notes = AdapterNotes(
        method=values["finetuning_type"],
        base=base,
        template=values["template"],
        default_system=values["default_system"] or "",
        source_prefix=values["source_prefix"] or "",
        prefix=prefix,
    )
    write_notes(folder, notes)


def _width(model: ModelInfo | None) -> int:
    config = read_json(model.path / "config.json") if model is not None else {}
    text = config.get("text_config")
    size = (text if isinstance(text, dict) else config).get("hidden_size")
    return size if type(size) is int else 1


def _safetensors(path: Path, shapes: Mapping[str, list[int]]) -> None:
    """A true header, and a hole where the numbers would be."""
    header: dict[str, Any] = {}
    offset = 0
    for name, shape in shapes.items():
        end = offset + 4 * shape[-1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + offset)
