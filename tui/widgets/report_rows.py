"""The rows of a report, one line each; as many as there are, because only those in view are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui.widgets.cursor_lines import CursorLines
from tui.widgets.report_columns import ColumnLayout, ReportTable


class ReportRows(CursorLines):
    """Shows a `ReportTable` under its heading, with a cursor that stays on its row when the order changes."""

    STYLED = "answers"
    HEADINGS = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "answers--quiet",
        "answers--heading",
        "answers--right",
        "answers--wrong",
        "answers--broken",
        "answers--verdict",
    }
    DEFAULT_CSS = """
    ReportRows .answers--quiet { color: $text-muted; }
    ReportRows .answers--heading { color: $text-muted; background: $boost; }
    ReportRows .answers--right { color: $text-success; }
    ReportRows .answers--wrong { color: $text-error; }
    ReportRows .answers--broken { color: $text-warning; }
    ReportRows .answers--verdict { color: $text-accent; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", show=False)]

    class Moved(Message):
        """The cursor stands on another row."""

    class Opened(Message):
        """The row under the cursor is wanted whole."""

    def __init__(self) -> None:
        super().__init__()
        self._table = ReportTable()
        self._sorted_by, self._descending = "", False
        self._layout_of: tuple[int, ColumnLayout] | None = None

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
        self.into_view()
        self.refresh()

    def mark(self, marks: Mapping[int, tuple[str, bool]]) -> None:
        """Show other verdicts on the same rows."""
        self._table, self._layout_of = replace(self._table, marks=marks), None
        self.refresh()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def current(self) -> int | None:
        """The number of the row under the cursor."""
        return self._table.order[self._cursor] if self._cursor < len(self._table) else None

    def moved(self) -> None:
        self.post_message(self.Moved())

    def action_open(self) -> None:
        if len(self):
            self.post_message(self.Opened())

    def on_resize(self) -> None:
        self._layout_of = None
        self.into_view()

    # --- drawing ---

    def _layout_for(self, width: int) -> ColumnLayout:
        if self._layout_of is None or self._layout_of[0] != width:
            self._layout_of = width, ColumnLayout(self._table, width, self._sorted_by)
        return self._layout_of[1]

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        plain = self.style_of("")
        layout = self._layout_for(width)
        if y == 0:
            heading = layout.heading(self._sorted_by, self._descending)
            style = plain + self.style_of("heading")
            return Strip([Segment(heading, style)]).adjust_cell_length(width, style)
        place = self.scroll_offset.y + y - 1
        if place >= len(self._table):
            return Strip.blank(width, plain)
        cursor = self.style_of("cursor") if place == self._cursor else Style()
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
        return [Segment(text, base + self.style_of(name) if name else base) for text, name in parts if text]

    def component_style(self, name: str) -> Style:
        """What has a meaning has a colour, the line its ground."""
        style = super().component_style(name)
        return style if name in ("heading", "cursor") else Style(color=style.color, bold=style.bold)
