"""The rows of a data set, one line each: a million of them open at once, because only those in view are read."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui.widgets.cursor_lines import CursorLines
from tui.widgets.row_view import Columns, Reading, columns_of, preview, read_row
from tui.widgets.set_rows import OpenSet

_KEPT = 512
_JUDGED_BY = 60


class RowsList(CursorLines):
    """Shows the rows of an `OpenSet`, with a cursor and with those marked that a search has found."""

    STYLED = "rows"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--number", "rows--answer", "rows--bad", "rows--match"}
    DEFAULT_CSS = """
    RowsList .rows--number { color: $text-muted; }
    RowsList .rows--answer { color: $text-success; }
    RowsList .rows--bad { color: $text-warning; }
    RowsList .rows--match { color: $text-accent; text-style: bold; }
    """

    class Moved(Message):
        """The cursor stands on another row."""

    def __init__(self) -> None:
        super().__init__()
        self._set: OpenSet | None = None
        self._matches: Sequence[int] = ()
        self._read: OrderedDict[int, Reading] = OrderedDict()
        self._columns = Columns()

    def show(self, opened: OpenSet | None) -> None:
        """Show the rows of a set from the first on."""
        self._set, self._cursor, self._matches = opened, 0, ()
        self._read.clear()
        self._columns = columns_of([self._reading(number) for number in range(min(len(self), _JUDGED_BY))])
        self.virtual_size = Size(0, len(self))
        self.scroll_to(y=0, animate=False, immediate=True)
        self.refresh()

    def __len__(self) -> int:
        return len(self._set.rows) if self._set is not None else 0

    @property
    def current(self) -> Reading | None:
        """The row that the cursor is on, read."""
        return self._reading(self._cursor) if self._cursor < len(self) else None

    @property
    def matches(self) -> Sequence[int]:
        """The rows that are marked, ascending."""
        return self._matches

    def mark(self, matches: Sequence[int]) -> None:
        """Mark the rows that a search has found."""
        self._matches = matches
        self.refresh()

    def next_match(self, way: int, *, here: bool = False) -> bool:
        """Go to the marked row below (1) or above (-1), and on from the other end; whether there is one."""
        if not self._matches:
            return False
        at = bisect_left(self._matches, self._cursor + (1 if way > 0 and not here else 0))
        self.go_to(self._matches[(at if way > 0 else at - 1) % len(self._matches)])
        return True

    def moved(self) -> None:
        self.post_message(self.Moved())

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        number = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        plain = self.style_of("")
        if number >= len(self):
            return Strip.blank(width, plain)
        cursor = self.style_of("cursor") if number == self._cursor else Style()
        digits = len(str(len(self)))
        reading = self._reading(number)
        question, answer = preview(reading, max(4, width - digits - 4), self._columns)
        at = bisect_left(self._matches, number)
        matched = at < len(self._matches) and self._matches[at] == number
        body = self.style_of("bad" if reading.faults else "match" if matched else "")
        segments = [
            Segment(f" {number + 1:>{digits}} ", self.style_of("number") + cursor),
            Segment(question, body + cursor),
        ]
        if answer:
            segments += [
                Segment(" → ", self.style_of("number") + cursor),
                Segment(answer, self.style_of("answer") + cursor),
            ]
        return Strip(segments).adjust_cell_length(width, plain + cursor)

    def _reading(self, number: int) -> Reading:
        """A row; the last ones that were looked at are kept."""
        assert self._set is not None
        if number not in self._read:
            self._read[number] = read_row(self._set.rows, self._set.shape, number)
        self._read.move_to_end(number)
        while len(self._read) > _KEPT:
            self._read.popitem(last=False)
        return self._read[number]
