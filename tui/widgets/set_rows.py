"""What the Data screen lists: the sets of dataset_info.json, entries that are wrong, and files that nobody entered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from textual.content import Content

from core.data.catalog import Catalog, DatasetEntry
from core.data.formats import RowShape, shape_of
from core.data.problems import KINDS, shown_path
from core.data.rows import Rows, open_rows
from core.errors import DataError
from core.i18n import _, plural
from core.models.figures import size_text
from core.untrusted import inert_line

_FIGURES = (9, 8, 16)  # cells of: rows, size, format
_SHORTEST_NAME = 20
_PLACE = re.compile(r":(\d+)(?::\D+(\d+))?$")
"""How a place ends: its line, and its row where several rows stand in that line."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set as it is listed; its figures come when somebody has looked at its file."""

    name: str
    """The set's, or an unregistered file's."""
    entry: DatasetEntry | None = None
    file: Path | None = None
    """Of a file that no entry names."""
    rows: int | None = None
    size: int = 0
    problem: str = ""
    """Why it cannot be used, and what to do."""
    errors: int | None = None
    """Problems that a check has found. None: not checked yet."""

    @property
    def format(self) -> str:
        """`alpaca`, `sharegpt, ranking`."""
        if self.entry is None:
            return ""
        return ", ".join(filter(None, (self.entry.formatting, _("ranking") if self.entry.ranking else "")))


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A set whose rows can be read."""

    entry: DatasetEntry
    rows: Rows
    shape: RowShape


def data_sets(catalog: Catalog) -> list[DataSet]:
    """Everything there is, in the order it is listed. No data file is opened for it."""
    entered = [DataSet(name, entry) for name, entry in catalog.entries.items()]
    wrong = [DataSet(name, problem=": ".join(filter(None, (p.what, p.hint)))) for name, p in catalog.problems.items()]
    return [*entered, *wrong, *(DataSet(path.name, file=path) for path in catalog.unregistered())]


def look_at(data_set: DataSet, catalog: Catalog) -> tuple[DataSet, OpenSet | None]:
    """Open a set's files: its figures, and what reads its rows. Takes time where an index has to be made."""
    if data_set.problem and data_set.entry is None and data_set.file is None:
        return data_set, None
    try:
        entry = data_set.entry or catalog.entry(str(data_set.file))
        rows, shape = open_rows(entry), shape_of(entry)
        wrong = next((problem for problem in rows.problems if KINDS[problem.kind] == "error"), None)
        size = sum(path.stat().st_size for path in rows.files)
    except DataError as error:
        return replace(data_set, problem=": ".join(filter(None, (error.message, error.hint)))), None
    except OSError as error:
        return replace(data_set, problem=str(error.strerror)), None
    problem = str(wrong) if wrong else ""
    return replace(data_set, entry=entry, rows=len(rows), size=size, problem=problem), OpenSet(entry, rows, shape)


def row_at(opened: OpenSet, where: str) -> int | None:
    """The row that a place names, or the last that begins at `file:line` or before; None where there are several files
    or no line."""
    place = _PLACE.search(where)
    if len(opened.rows.files) != 1 or place is None or not len(opened.rows):
        return None
    line, row = place.groups()
    if row is not None:
        return min(int(row), len(opened.rows)) - 1
    low, high = 0, len(opened.rows)
    while low < high:  # lines ascend
        middle = (low + high) // 2
        if opened.rows.place(middle).line <= int(line):
            low = middle + 1
        else:
            high = middle
    return max(0, low - 1)


# --- as lines ----------------------------------------------------------------------------------------------------


def set_content(data_set: DataSet, width: int) -> Content:
    """A line that is exactly as wide as asked: figures leave before names are cut."""
    mark, style = "  ", ""
    if data_set.problem or data_set.errors:
        mark, style = "! ", "$text-warning"
    elif data_set.file is not None:
        mark, style = "+ ", "$text-accent"
    rows = "" if data_set.rows is None else f"{data_set.rows:,}"
    size = size_text(data_set.size) if data_set.size else ""
    return _laid_out(mark + data_set.name, style, (rows, size, data_set.format), width)


def heading(width: int) -> Content:
    """The titles over the figures."""
    return _laid_out("  " + _("data set"), "", (_("rows"), _("size"), _("format")), width).stylize("$muted")


def _laid_out(name: str, style: str, figures: Sequence[str], width: int) -> Content:
    shown = list(range(len(figures)))
    while len(shown) > 1 and width - sum(_FIGURES[index] + 1 for index in shown) < _SHORTEST_NAME:
        shown.pop()
    room = max(1, width - sum(_FIGURES[index] + 1 for index in shown))
    label = Content.styled(inert_line(name), style).truncate(room, ellipsis=True)
    cells = "".join(" " + _right(figures[index], _FIGURES[index]) for index in shown)
    return Content.assemble(label, " " * (room - label.cell_length), (cells, "$muted"))


def _right(text: str, width: int) -> str:
    content = Content(text).truncate(width, ellipsis=True)
    return " " * (width - content.cell_length) + content.plain


def head(data_set: DataSet, width: int) -> Content:
    """What the shown set is, in one line."""
    where = data_set.entry.hub_name or shown_path(data_set.entry.path) if data_set.entry else ""
    count = plural("{count} row", "{count} rows", data_set.rows) if data_set.rows is not None else ""
    state = _("not entered: a enters it") if data_set.file is not None else ""
    facts = [count, size_text(data_set.size) if data_set.size else "", data_set.format, columns_text(data_set), where]
    line = Content.assemble(
        (inert_line(data_set.name), "bold"),
        "  ",
        (state, "$text-accent"),
        "  " if state else "",
        (inert_line(" · ".join(filter(None, facts))), "$muted"),
    )
    return line.truncate(max(1, width), ellipsis=True)


def columns_text(data_set: DataSet) -> str:
    """Which columns are read, in the order of their roles."""
    return ", ".join(data_set.entry.columns.values()) if data_set.entry else ""
