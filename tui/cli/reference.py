"""Writes `docs/options.md`, the reference of all options, from their declarations: `python -m tui.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from core.config.fields import FieldSpec, describe
from tui.cli.chat import chat
from tui.cli.compare import compare_verb
from tui.cli.evaluate import evaluate
from tui.cli.options import OptionsVerb, facts
from tui.cli.pipeline import PipelineVerb, pipeline
from tui.cli.preferences import preferences
from tui.cli.report import report_verb
from tui.cli.score import score
from tui.cli.train import train

PATH = Path("docs") / "options.md"
RENEW = "python -m tui.cli.reference"

_HEAD = f"""# Options

Made from the declarations by `{RENEW}`; edit those, not this.

Every option can be typed (`--top_p 0.8`, `--top-p=0.8`, `top_p=0.8`; switches also alone, or as `--no_save`), or stand
in a YAML or JSON file (`top_p: 0.8`), named by `--config FILE` or alone. What is typed wins over the file, the file
over `--preset`, that over the default. All mistakes are told at once, each with its place.
"""


def reference() -> str:
    """The whole page."""
    verbs: dict[str, OptionsVerb | PipelineVerb] = {
        "chat": chat,
        "train": train,
        "eval": evaluate,
        "pipeline": pipeline,
        "report": report_verb,
        "compare": compare_verb,
        "score": score,
        "data preferences": preferences,
    }
    parts = (
        "\n".join((f"## finetui {name}", *_tables(describe(*verb.sections)))) + "\n" for name, verb in verbs.items()
    )
    return "\n".join((_HEAD, *parts))


def _tables(specs: list[FieldSpec]) -> Iterator[str]:
    for title, group in groupby(specs, key=lambda spec: spec.section):
        yield f"\n### {title}\n"
        yield "| option | value | what it does |"
        yield "| --- | --- | --- |"
        for spec in group:
            names = "<br>".join(f"`{name}`" for name in (spec.name, *spec.aliases))
            yield f"| {names} | {_value(spec)} | {_cell(spec.help)} |"


def _value(spec: FieldSpec) -> str:
    kind = {"switch": "true or false", "list": "texts"}.get(spec.kind, "" if spec.choices else spec.kind)
    return _cell(" ".join(filter(None, (kind, facts(spec)))))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(reference(), encoding="utf-8")
