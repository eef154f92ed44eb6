"""The rows of a data set, one line each: a million of them open at once, because only those in view are read."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.row_view import Columns, Reading, columns_of, preview, read_row
from tui.widgets.set_rows import OpenSet

_KEPT = 512
_JUDGED_BY = 60


class RowsList(ScrollView, can_focus=True):
    """Shows the rows of an `OpenSet`, with a cursor and with those marked that a search has found."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--number",
        "rows--answer",
        "rows--bad",
        "rows--cursor",
        "rows--match",
    }
    DEFAULT_CSS = """
    RowsList {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    RowsList .rows--number { color: $text-muted; }
    RowsList .rows--answer { color: $text-success; }
    RowsList .rows--bad { color: $text-warning; }
    RowsList .rows--match { color: $text-accent; text-style: bold; }
    RowsList .rows--cursor { background: $primary 15%; }
    RowsList:focus .rows--cursor { background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
    ]

    class Moved(Message):
        """The cursor stands on another row."""

    def __init__(self) -> None:
        super().__init__()
        self._set: OpenSet | None = None
        self._cursor = 0
        self._matches: Sequence[int] = ()
        self._read: OrderedDict[int, Reading] = OrderedDict()
        self._columns = Columns()
        self._styles: dict[str, Style] = {}

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
    def cursor(self) -> int:
        """The row that the cursor is on."""
        return self._cursor

    @property
    def current(self) -> Reading | None:
        """That row, read."""
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

    def go_to(self, number: int) -> None:
        """Put the cursor on a row, and the row into view."""
        number = max(0, min(number, len(self) - 1))
        if number == self._cursor or not len(self):
            return
        self._cursor = number
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if not top <= number < top + height:
            ahead = (
                0
                if number < top and top - number < height
                else height - 1
                if number - top < 2 * height
                else height // 2
            )
            self.scroll_to(y=max(0, number - ahead), animate=False, immediate=True, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        self.go_to(self._cursor + by)

    def action_move_page(self, way: int) -> None:
        self.go_to(self._cursor + way * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self.go_to(0)

    def action_last(self) -> None:
        self.go_to(len(self) - 1)

    def on_click(self, event: events.Click) -> None:
        self.go_to(self.scroll_offset.y + event.y)

    # --- drawing ---

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def render_line(self, y: int) -> Strip:
        number = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        plain = self._style("")
        if number >= len(self):
            return Strip.blank(width, plain)
        cursor = self._style("cursor") if number == self._cursor else Style()
        digits = len(str(len(self)))
        reading = self._reading(number)
        question, answer = preview(reading, max(4, width - digits - 4), self._columns)
        at = bisect_left(self._matches, number)
        matched = at < len(self._matches) and self._matches[at] == number
        body = self._style("bad" if reading.faults else "match" if matched else "")
        segments = [
            Segment(f" {number + 1:>{digits}} ", self._style("number") + cursor),
            Segment(question, body + cursor),
        ]
        if answer:
            segments += [
                Segment(" → ", self._style("number") + cursor),
                Segment(answer, self._style("answer") + cursor),
            ]
        return Strip(segments).adjust_cell_length(width, plain + cursor)

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            partial = name == "cursor"  # its foreground is the text's own
            style = self.get_component_rich_style(f"rows--{name}") if name else self.rich_style
            self._styles[name] = Style(bgcolor=style.bgcolor) if partial else style
        return self._styles[name]

    def _reading(self, number: int) -> Reading:
        """A row; the last ones that were looked at are kept."""
        assert self._set is not None
        if number not in self._read:
            self._read[number] = read_row(self._set.rows, self._set.shape, number)
        self._read.move_to_end(number)
        while len(self._read) > _KEPT:
            self._read.popitem(last=False)
        return self._read[number]
