"""A table whose first columns stay and whose other columns move: lines that are drawn when they are looked at.

Textual's own table builds a widget's worth of structures for each cell, and its columns cannot stay. Here a row is a
tuple of short texts, twenty thousand of them cost what they are in memory, and what does not fit into the width is one
key away. Texts are made inert by whoever makes the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, overload

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui.widgets.cursor_lines import CursorLines

K = TypeVar("K", bound=Hashable)
_GAP = 2
_EDGE = 2
"""Cells at the right that stay free, for the mark that there are more columns."""
_JUDGED_BY = 200
"""Rows that decide how wide a column is."""
_LEAST = 6
"""Cells that a text column keeps when there is little room."""


@dataclass(frozen=True, slots=True)
class Column:
    """What stands over a column, and how its cells stand."""

    title: str
    right: bool = False
    """Numbers stand at the right of their column."""
    most: int = 40
    sorted: str = ""
    """An arrow before the title of the column that the rows are sorted by."""

    @property
    def heading(self) -> str:
        return self.sorted + self.title


@dataclass(frozen=True, slots=True)
class Cell:
    """A short text; `style` is one of `TableRows.STYLES`."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line of a table."""

    key: Hashable
    """By which it is found again after a change."""
    cells: tuple[Cell, ...]
    mark: str = ""
    """A sign before everything: whether it is marked, how its run stands."""
    mark_style: str = ""


class MadeRows(Sequence[TableRow]):
    """Rows that are made when they are looked at: of twenty thousand a screen shows forty.

    Args:
        keys: of all rows, in their order.
        make: the row of a key.
    """

    def __init__(self, keys: Sequence[K], make: Callable[[K], TableRow]) -> None:
        self.keys: Sequence[Hashable] = keys
        self._make: Callable[[Any], TableRow] = make
        self._made: dict[Hashable, TableRow] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, number: int) -> TableRow: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[TableRow]: ...

    def __getitem__(self, number: int | slice) -> TableRow | Sequence[TableRow]:
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        key = self.keys[number]
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; the first `fixed` columns are always in view."""

    columns: tuple[Column, ...] = ()
    rows: Sequence[TableRow] = ()
    fixed: int = 1

    @property
    def keys(self) -> Sequence[Hashable]:
        """Of all rows, in their order."""
        return self.rows.keys if isinstance(self.rows, MadeRows) else [row.key for row in self.rows]


@dataclass(slots=True)
class _Fitted:
    """Which columns are in view, and how wide."""

    shown: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    more: bool = False
    """Whether there are columns to the right."""


class TableRows(CursorLines):
    """Shows a `Table` with a cursor; its heading is drawn above it (`tui.widgets.headed_table`)."""

    STYLED = "table"
    STYLES: ClassVar[tuple[str, ...]] = ("muted", "best", "good", "bad", "name", "live")
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"table--{name}" for name in STYLES}
    DEFAULT_CSS = """
    TableRows .table--muted { color: $text-muted; }
    TableRows .table--best { color: $text-success; text-style: bold; }
    TableRows .table--good { color: $text-success; }
    TableRows .table--bad { color: $text-error; }
    TableRows .table--name { text-style: bold; }
    TableRows .table--live { color: $text-primary; }
    """

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, table: TableRows) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> TableRows:
            return self.table

    class Fitted(Message):
        """Other columns are in view, or they are of other widths."""

    class Entered(Moved):
        """A row was clicked that the cursor was on already."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._table = Table()
        self._shift = 0
        self._fitted = _Fitted()
        self._headed: tuple[str, ...] = ()

    # --- what is shown ---

    @property
    def table(self) -> Table:
        return self._table

    def __len__(self) -> int:
        return len(self._table.rows)

    @property
    def current(self) -> TableRow | None:
        """The row that the cursor is on."""
        rows = self._table.rows
        return rows[self._cursor] if self._cursor < len(rows) else None

    def show(self, table: Table) -> None:
        """Show another table; the cursor stays on its row where that is still there."""
        if table == self._table:
            return
        held = self.current.key if self.current else None
        keys = table.keys
        self._table = table
        self._cursor = keys.index(held) if held in keys else min(self._cursor, max(0, len(keys) - 1))
        self._shift = max(0, min(self._shift, len(table.columns) - table.fixed - 1))
        self.virtual_size = Size(0, len(keys))
        self._fit()
        self.into_view()
        self.refresh()

    def go_to_key(self, key: Hashable) -> bool:
        """Put the cursor on the row of this key; whether there is one."""
        keys = self._table.keys
        if key not in keys:
            return False
        self.go_to(keys.index(key))
        return True

    def moved(self) -> None:
        self.post_message(self.Moved(self))

    def shift(self, by: int) -> bool:
        """Move the columns that move; whether there were any to be moved to."""
        last = len(self._table.columns) - self._table.fixed - 1
        wanted = max(0, min(self._shift + by, last))
        if wanted == self._shift or (by > 0 and not self._fitted.more):
            return False
        self._shift = wanted
        self._fit()
        self.refresh()
        return True

    def on_click(self, event: events.Click) -> None:
        if event.chain > 1 and self.scroll_offset.y + event.y == self._cursor:
            self.post_message(self.Entered(self))

    # --- widths ---

    def on_resize(self) -> None:
        self._fit()
        self.into_view()
        self.refresh()

    def _fit(self) -> None:
        table, width = self._table, self.scrollable_content_region.width - _EDGE
        natural = [_width_of(table, index) for index in range(len(table.columns))]
        lead = list(range(min(table.fixed, len(natural))))
        rest = list(range(len(lead) + self._shift, len(natural)))
        _shrink(table, natural, lead, rest, width)
        fitted, used = _Fitted(), 2
        for index in (*lead, *rest):
            gap = _GAP if fitted.shown else 0
            if index not in lead and used + gap + natural[index] > width:
                fitted.more = True
                break
            fitted.shown.append(index)
            fitted.widths.append(natural[index])
            used += gap + natural[index]
        if fitted != self._fitted or self._headings() != self._headed:
            self._fitted, self._headed = fitted, self._headings()
            self.post_message(self.Fitted())

    def _headings(self) -> tuple[str, ...]:
        return tuple(column.heading for column in self._table.columns)

    # --- drawing ---

    def heading(self) -> Content:
        """The titles over what is in view."""
        columns = self._table.columns
        parts = [
            _placed(columns[index].heading, width, right=columns[index].right)
            for index, width in zip(self._fitted.shown, self._fitted.widths, strict=True)
        ]
        before, after = "« " if self._shift else "  ", " »" if self._fitted.more else ""
        return Content.styled(before + (" " * _GAP).join(parts) + after, "$muted")

    def render_line(self, y: int) -> Strip:
        number, width = self.scroll_offset.y + y, self.scrollable_content_region.width
        plain = self.style_of("")
        if number >= len(self._table.rows):
            return Strip.blank(width, plain)
        row = self._table.rows[number]
        cursor = self.style_of("cursor") if number == self._cursor else Style()
        segments = [Segment(set_cell_size(row.mark, 2), self.style_of(row.mark_style) + cursor)]
        for place, (index, cells) in enumerate(zip(self._fitted.shown, self._fitted.widths, strict=True)):
            cell = row.cells[index] if index < len(row.cells) else Cell("")
            gap = " " * _GAP if place else ""
            text = gap + _placed(cell.text, cells, right=self._table.columns[index].right)
            segments.append(Segment(text, self.style_of(cell.style) + cursor))
        return Strip(segments).adjust_cell_length(width, plain + cursor)


def _width_of(table: Table, index: int) -> int:
    column = table.columns[index]
    cells = (cell_len(row.cells[index].text) for row in table.rows[:_JUDGED_BY] if index < len(row.cells))
    return min(max(cell_len(column.heading), *cells, 1) if table.rows else cell_len(column.heading), column.most)


def _shrink(table: Table, widths: list[int], lead: Sequence[int], rest: Sequence[int], width: int) -> None:
    """Take room from the text columns that stay, until the others fit: first from those that say the same in all
    rows, then from the widest."""
    wanted = 2 + _total(widths[index] for index in (*lead, *rest))
    least = width * 2 // 5
    same = {index for index in lead if len({row.cells[index].text for row in table.rows[:_JUDGED_BY]}) < 2}
    texts = [index for index in lead if not table.columns[index].right]
    while wanted > width and 2 + _total(widths[index] for index in lead) > least:
        wide = [index for index in texts if widths[index] > _LEAST]
        if not wide:
            return
        taken = max(wide, key=lambda index: (index in same, widths[index]))
        widths[taken] -= 1
        wanted -= 1


def _total(widths: Iterable[int]) -> int:
    listed = list(widths)
    return sum(listed) + _GAP * max(0, len(listed) - 1)


def _placed(text: str, cells: int, *, right: bool) -> str:
    """The text in so many cells, its end cut off with a mark."""
    size = cell_len(text)
    if size > cells:
        return set_cell_size(set_cell_size(text, max(0, cells - 1)).rstrip() + "…", cells)
    return " " * (cells - size) + text if right else text + " " * (cells - size)
