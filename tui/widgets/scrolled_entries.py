"""Entries drawn row by row in a view that scrolls, however many there are.

There is no widget per message: a thousand of them would cost seconds at every layout. Entries in view are drawn, the
height of the rest is guessed; where a guess was wrong, the scroll offset is corrected before anything is painted, so
what one reads stands still. Scrolled to the end it follows new text; scrolled away it stays until the end is reached
again. While an answer streams, only the rows that changed are painted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.entry import EntryView, Frame
from tui.widgets.lines import BLANK, Line, compact, fill, hang
from tui.widgets.palette import PALETTE_CSS, Palette
from tui.widgets.selected_text import highlight, row_of, selected_rows

_WIDEST = 100  # cells of text: longer lines are hard to read
_GUTTER = 2
_KEPT_DRAWN = 200  # entries whose rows stay in memory


class ScrolledEntries(ScrollView):
    """The rows of a list of entries; which entries there are is a subclass's affair.

    Attributes:
        cursor: index of the selected entry, or None.
        raw: whether all messages are shown as they were written, without Markdown.
        following: whether the end of the text is kept in view.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = Palette.CLASSES
    DEFAULT_CSS = f"""
    ScrolledEntries {{
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $foreground 20%;
        scrollbar-color-hover: $foreground 35%;
        {PALETTE_CSS}
    }}
    """
    ALLOW_SELECT = True

    cursor: reactive[int | None] = reactive(None, init=False, repaint=False)
    raw: reactive[bool] = reactive(False, init=False, repaint=False)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._views: list[EntryView] = []
        self._starts: list[int] = [0]
        self._frame: Frame | None = None
        self._drawn: OrderedDict[str, EntryView] = OrderedDict()
        self._settling = False
        self.following = True

    def watch_raw(self) -> None:
        self._reframe()

    # Scrolling

    def anchor_end(self) -> None:
        """Goes to the end and stays there while text arrives."""
        self.following = True
        self._settle()
        self.refresh()

    def _scroll(self, y: float) -> None:
        y = max(0, min(y, self.max_scroll_y))
        self.scroll_target_y = self.scroll_y = y

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling:
            self.following = new_value >= self.max_scroll_y
            self._settle()

    # Heights

    @property
    def _text_width(self) -> int:
        # The last column stays free: some terminals draw ambiguous characters wider than they should.
        return max(8, min(_WIDEST, self.size.width - _GUTTER - 1))

    def on_resize(self) -> None:
        self._reframe()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._frame is not None:
            self.call_next(self._reframe)  # Textual tells before it renews the colours that a palette is made of

    def _reframe(self) -> None:
        """Starts over with another width, theme or mode, keeping the place."""
        if not self.is_attached or not self.size:
            return
        frame = Frame(self._text_width, Palette.of(self), self.raw)
        if frame != self._frame:
            top = self._entry_at(int(self.scroll_y)) if self._views else 0
            inside = (self.scroll_y - self._starts[top]) / max(1, self._views[top].height) if self._views else 0
            self._frame = frame
            for view in self._views:
                view.drop()
                view.estimate(frame.width)
            self._drawn.clear()
            self._starts = list(accumulate((view.height for view in self._views), initial=0))
            if not self.following:
                self._measure(top)
                self._update_virtual_size()
                self._settling = True
                self._scroll(self._starts[top] + round(inside * self._views[top].height))
                self._settling = False
        self._settle()
        self.refresh()

    def _entry_at(self, y: int) -> int:
        return max(0, min(bisect_right(self._starts, y) - 1, len(self._views) - 1))

    def _rows(self, index: int) -> list[Line]:
        view = self._views[index]
        assert self._frame is not None
        rows = view.rows(self._frame)
        self._drawn[view.entry.key] = view
        self._drawn.move_to_end(view.entry.key)
        if len(self._drawn) > _KEPT_DRAWN:
            self._drawn.popitem(last=False)[1].drop()
        return rows

    def _measure(self, index: int) -> int:
        """Draws an entry if its height is a guess; how much higher than guessed it is."""
        view = self._views[index]
        if view.measured:
            return 0
        guessed = self._starts[index + 1] - self._starts[index]
        self._rows(index)
        difference = view.height - guessed
        if difference:
            for following in range(index + 1, len(self._starts)):
                self._starts[following] += difference
        return difference

    def _settle(self) -> None:
        """Makes the heights of what is in view true, and the scroll offset with them."""
        if self._settling or self._frame is None or not self.size.height:
            return
        self._settling = True
        try:
            y = self._settle_end() if self.following else self._settle_from(int(self.scroll_y))
            self._update_virtual_size()
            self._scroll(y)
        finally:
            self._settling = False

    def _settle_end(self) -> int:
        index, rows = len(self._views) - 1, 0
        while index >= 0 and rows <= self.size.height:
            self._measure(index)
            rows += self._views[index].height
            index -= 1
        return max(0, self._starts[-1] - self.size.height)

    def _settle_from(self, y: int) -> int:
        """Measures the entries in view; one that begins above keeps its end where it is."""
        index = self._entry_at(y)
        while index < len(self._views) and self._starts[index] < y + self.size.height:
            begins_above = self._starts[index] < y
            difference = self._measure(index)
            if begins_above and difference:
                y = max(0, y + difference)
                index = self._entry_at(y)
            else:
                index += 1
        return y

    def _update_virtual_size(self) -> None:
        # Set past the reactive: a change of height inside must not lay out the screen again.
        size = Size(self.size.width, self._starts[-1])
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self._scroll_update(size)

    # Painting

    def _redraw(self, index: int) -> None:
        """Draws an entry again and paints what changed of it."""
        view, top = self._views[index], int(self.scroll_y)
        in_view = self._starts[index] < top + self.size.height and self._starts[index + 1] >= top
        if self._frame is None or not (in_view or self.following):
            return
        before = view.painted
        moved = self._measure(index)
        self._settle()
        if int(self.scroll_y) != top:
            return  # everything is painted anyway
        pairs = list(zip(before, view.painted, strict=False))
        first = next((number for number, (old, new) in enumerate(pairs) if old != new), len(pairs))
        last = next(
            (number for number in range(len(pairs) - 1, first, -1) if pairs[number][0] != pairs[number][1]), first
        )
        rows = self.size.height if moved else last + 1 - first
        if moved or first < len(pairs):
            self.refresh_lines(self._starts[index] + first, rows)

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        y += int(self.scroll_y)
        base = self.rich_style
        width = self.size.width
        if self._frame is None or y >= self._starts[-1]:
            return Strip.blank(width, base)
        index = self._entry_at(y)
        rows = self._rows(index)
        number = y - self._starts[index]
        row = self._behind_bar(index, rows[number]) if number < len(rows) - 1 else BLANK
        selection = self.text_selection
        if selection is not None:
            style = self.screen.get_component_rich_style("screen--selection")
            row = highlight(row, selection, row_of(index, number), style)
        strip = Strip(compact(fill(row, width, base).segments)).crop(0, width)
        return strip.apply_offsets(0, row_of(index, number))

    def _behind_bar(self, index: int, row: Line) -> Line:
        bar = Segment(*self._bar(index))
        return hang([row], bar, bar)[0]

    def _bar(self, index: int) -> tuple[str, Style]:
        assert self._frame is not None
        palette = self._frame.palette
        if index == self.cursor:
            return "▌ ", palette.cursor_bar
        role = self._views[index].entry.role
        return "▎ ", palette.by_user if role == "user" else palette.by_error if role == "error" else palette.bar

    # Selecting with the mouse

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What was selected, as it was written: without bars, and without breaks that only the width made."""
        if self._frame is None:
            return None
        if selection.start is None and selection.end is None:
            return "\n\n".join(view.entry.text for view in self._views), "\n"
        rows = selected_rows(selection, len(self._views), self._rows_with_bar)
        return "".join(rows), "\n"

    def _rows_with_bar(self, index: int) -> list[Line]:
        *rows, last = self._rows(index)
        return [*(self._behind_bar(index, row) for row in rows), last]
