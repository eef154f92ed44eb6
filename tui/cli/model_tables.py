"""Models and adapters as lines for people and as records for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from core.i18n import _
from core.models.figures import adapter_pairs, count_text, method_text, model_pairs, size_text
from core.models.info import AdapterInfo, ModelInfo
from core.untrusted import inert_line

Row = tuple[str, ...]


def model_rows(models: Sequence[ModelInfo], orphans: Sequence[AdapterInfo]) -> Iterator[Row]:
    """A table's rows, its titles first; adapters stand below their base."""
    if models or orphans:
        yield _("MODEL"), _("PARAMETERS"), _("DTYPE"), _("SIZE"), _("CONTEXT"), _("LICENCE"), _("WHERE"), ""
    for model in models:
        yield (
            inert_line(model.name),
            count_text(model.parameters),
            model.dtype,
            size_text(model.size_bytes),
            str(model.context_length or "?"),
            model.license or "?",
            {"workspace": _("workspace"), "huggingface": _("HF cache"), "folder": _("folder")}[model.source],
            _problem_text(model.problems),
        )
        for adapter in model.adapters:
            yield ("  └ " + inert_line(adapter.name), *_adapter_cells(adapter), _problem_text(adapter.problems))
    for adapter in orphans:
        base = _("(its base {name} is not here)").format(name=adapter.base_model or "?")
        yield (inert_line(adapter.name), *_adapter_cells(adapter), _problem_text((*adapter.problems, base)))


def _adapter_cells(adapter: AdapterInfo) -> Row:
    return count_text(adapter.parameters), method_text(adapter), "", "", "", _("adapter")


def _problem_text(problems: Sequence[str]) -> str:
    return "! " + "; ".join(problems) if problems else ""


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Rows as lines with columns in line, wide characters counted as such."""
    rows_read = list(rows)
    widths = [max(map(cell_len, column)) for column in zip(*rows_read, strict=True)]
    for row in rows_read:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def lines(pairs: Sequence[tuple[str, str]], least: int = 0) -> Iterator[str]:
    """Facts, a line each; labels take at least so many cells."""
    width = max(least, *(cell_len(label) for label, _value in pairs))
    for label, value in pairs:
        yield f"{label}{' ' * (width - cell_len(label))}  {value}"


def fact_pairs(model: ModelInfo) -> list[tuple[str, str]]:
    """Everything known about a model, label and value."""
    return [
        (_("name"), inert_line(model.name)),
        *model_pairs(model),
        *((_("adapter"), f"{inert_line(adapter.name)} ({method_text(adapter)})") for adapter in model.adapters),
        *((_("problem"), problem) for problem in model.problems),
    ]


def adapter_fact_pairs(adapter: AdapterInfo) -> list[tuple[str, str]]:
    """Everything known about an adapter, label and value."""
    return [
        (_("name"), inert_line(adapter.name)),
        *adapter_pairs(adapter),
        *((_("problem"), problem) for problem in adapter.problems),
    ]


def model_record(model: ModelInfo) -> dict[str, Any]:
    """A model for `--json`."""
    return {
        "kind": "model",
        "name": model.name,
        "path": str(model.path),
        "source": model.source,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "dtype": model.dtype,
        "size_bytes": model.size_bytes,
        "context_length": model.context_length,
        "license": model.license,
        "has_chat_template": model.has_chat_template,
        "adapters": [adapter_record(adapter) for adapter in model.adapters],
        "problems": list(model.problems),
    }


def adapter_record(adapter: AdapterInfo) -> dict[str, Any]:
    """An adapter for `--json`."""
    return {
        "name": adapter.name,
        "path": str(adapter.path),
        "method": adapter.method,
        "base_model": adapter.base_model,
        "rank": adapter.rank,
        "prefix_length": adapter.prefix_length,
        "parameters": adapter.parameters,
        "problems": list(adapter.problems),
    }
