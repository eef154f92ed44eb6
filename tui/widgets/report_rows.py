"""The rows of a report, one line each; as many as there are, because only those in view are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.report_columns import ColumnLayout, ReportTable


class ReportRows(ScrollView, can_focus=True):
    """Shows a `ReportTable` under its heading, with a cursor that stays on its row when the order changes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "answers--quiet",
        "answers--heading",
        "answers--right",
        "answers--wrong",
        "answers--broken",
        "answers--verdict",
        "answers--cursor",
    }
    DEFAULT_CSS = """
    ReportRows {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    ReportRows .answers--quiet { color: $text-muted; }
    ReportRows .answers--heading { color: $text-muted; background: $boost; }
    ReportRows .answers--right { color: $text-success; }
    ReportRows .answers--wrong { color: $text-error; }
    ReportRows .answers--broken { color: $text-warning; }
    ReportRows .answers--verdict { color: $text-accent; text-style: bold; }
    ReportRows .answers--cursor { background: $primary 15%; }
    ReportRows:focus .answers--cursor { background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
        Binding("enter", "open", show=False),
    ]

    class Moved(Message):
        """The cursor stands on another row."""

    class Opened(Message):
        """The row under the cursor is wanted whole."""

    def __init__(self) -> None:
        super().__init__()
        self._table = ReportTable()
        self._sorted_by, self._descending = "", False
        self._cursor = 0
        self._layout_of: tuple[int, ColumnLayout] | None = None
        self._styles: dict[str, Style] = {}

    def show(self, table: ReportTable, sorted_by: str = "", descending: bool = False, at: int | None = None) -> None:
        """Show rows.

        Args:
            at: the row that the cursor is to be on; where it is not shown, the cursor keeps its place on the screen.
        """
        self._table, self._sorted_by, self._descending = table, sorted_by, descending
        self._layout_of = None
        place = min(self._cursor, max(0, len(table) - 1))
        if at is not None and at < len(table.predictions):
            place = next((place for place, index in enumerate(table.order) if index == at), place)
        self._cursor = place
        self.virtual_size = Size(0, len(table) + 1)
        self._into_view()
        self.refresh()

    def mark(self, marks: Mapping[int, tuple[str, bool]]) -> None:
        """Show other verdicts on the same rows."""
        self._table, self._layout_of = replace(self._table, marks=marks), None
        self.refresh()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def place(self) -> int:
        """Where the cursor is among the shown rows."""
        return self._cursor

    @property
    def current(self) -> int | None:
        """The number of the row under the cursor."""
        return self._table.order[self._cursor] if self._cursor < len(self._table) else None

    def go_to(self, place: int) -> None:
        """Put the cursor on the n-th shown row, and it into view."""
        place = max(0, min(place, len(self) - 1))
        if place == self._cursor or not len(self):
            return
        before, self._cursor = self._cursor, place
        if self._into_view():
            self.refresh()
        else:  # of the others nothing has changed, and lines are slow
            self.refresh_line(before + 1)
            self.refresh_line(place + 1)
        self.post_message(self.Moved())

    def _into_view(self) -> bool:
        """Scroll to the cursor; whether that was needed."""
        height = max(1, self._height)
        top = self.scroll_offset.y
        if top <= self._cursor < top + height:
            return False
        near = abs(self._cursor - top) < 2 * height
        ahead = (0 if self._cursor < top else height - 1) if near else height // 2
        self.scroll_to(y=max(0, self._cursor - ahead), animate=False, immediate=True, force=True)
        return True

    @property
    def _height(self) -> int:
        """Lines for rows; the first one is the heading."""
        return self.scrollable_content_region.height - 1

    def action_move(self, by: int) -> None:
        self.go_to(self._cursor + by)

    def action_move_page(self, way: int) -> None:
        self.go_to(self._cursor + way * max(1, self._height - 1))

    def action_first(self) -> None:
        self.go_to(0)

    def action_last(self) -> None:
        self.go_to(len(self) - 1)

    def action_open(self) -> None:
        if len(self):
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        if event.y:
            self.go_to(self.scroll_offset.y + event.y - 1)

    def on_resize(self) -> None:
        self._layout_of = None
        self._into_view()

    # --- drawing ---

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def _layout_for(self, width: int) -> ColumnLayout:
        if self._layout_of is None or self._layout_of[0] != width:
            self._layout_of = width, ColumnLayout(self._table, width, self._sorted_by)
        return self._layout_of[1]

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        plain = self._style("")
        layout = self._layout_for(width)
        if y == 0:
            heading = layout.heading(self._sorted_by, self._descending)
            style = plain + self._style("heading")
            return Strip([Segment(heading, style)]).adjust_cell_length(width, style)
        place = self.scroll_offset.y + y - 1
        if place >= len(self._table):
            return Strip.blank(width, plain)
        cursor = self._style("cursor") if place == self._cursor else Style()
        segments = self._segments(layout, self._table.order[place], plain + cursor)
        return Strip(segments).adjust_cell_length(width, plain + cursor)

    def _segments(self, layout: ColumnLayout, index: int, base: Style) -> list[Segment]:
        line = layout.line(index)
        right = layout.table.right[index] if index < len(layout.table.right) else None
        broken = bool(layout.table.predictions[index].error)
        judged = "broken" if broken else "" if right is None else "right" if right else "wrong"
        parts = (
            (line.number, "quiet"),
            (line.verdict, "verdict"),
            (line.state, judged),
            (line.scores, ""),
            (line.question, "quiet"),
            (line.answer, judged),
            (line.reference, ""),
        )
        return [Segment(text, base + self._style(name) if name else base) for text, name in parts if text]

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            style = self.get_component_rich_style(f"answers--{name}") if name else self.rich_style
            if name == "cursor":
                style = Style(bgcolor=style.bgcolor)
            elif name and name != "heading":  # what has a meaning has a colour, the line its ground
                style = Style(color=style.color, bold=style.bold)
            self._styles[name] = style
        return self._styles[name]
