"""Lines with a cursor, as many as there are: only those in view are drawn.

What the lines say is a subclass's: it draws them, and tells its own messages when the cursor has moved.
"""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.scroll_view import ScrollView


class CursorLines(ScrollView, can_focus=True):
    """A list of lines that is walked in by keys and by the mouse."""

    STYLED: ClassVar[str]
    """What the component classes of its lines begin with, without the `--`."""
    HEADINGS: ClassVar[int] = 0
    """Lines above the first row that stay when the rows are scrolled."""
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor"}
    DEFAULT_CSS = """
    CursorLines {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    CursorLines .lines--cursor { background: $primary 15%; }
    CursorLines:focus .lines--cursor { background: $primary 30%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "first", show=False),
        Binding("end", "last", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._cursor = 0
        self._styles: dict[str, Style] = {}

    def __len__(self) -> int:
        raise NotImplementedError

    def moved(self) -> None:
        """The cursor stands on another row."""
        raise NotImplementedError

    @property
    def cursor(self) -> int:
        """Where the cursor is among the rows."""
        return self._cursor

    def go_to(self, number: int) -> None:
        """Put the cursor on a row, and the row into view."""
        number = max(0, min(number, len(self) - 1))
        if number == self._cursor or not len(self):
            return
        before, self._cursor = self._cursor, number
        if self.into_view():
            self.refresh()
        else:  # of the others nothing has changed, and lines are slow
            self.refresh_line(before + self.HEADINGS)
            self.refresh_line(number + self.HEADINGS)
        self.moved()

    def into_view(self) -> bool:
        """Scroll to the cursor, to the middle from afar; whether that was needed."""
        top, height = self.scroll_offset.y, max(1, self._height)
        if top <= self._cursor < top + height:
            return False
        near = abs(self._cursor - top) < 2 * height
        ahead = (0 if self._cursor < top else height - 1) if near else height // 2
        self.scroll_to(y=max(0, self._cursor - ahead), animate=False, immediate=True, force=True)
        return True

    @property
    def _height(self) -> int:
        """Lines for rows."""
        return self.scrollable_content_region.height - self.HEADINGS

    def action_move(self, by: int) -> None:
        self.go_to(self._cursor + by)

    def action_move_page(self, way: int) -> None:
        self.go_to(self._cursor + way * max(1, self._height - 1))

    def action_first(self) -> None:
        self.go_to(0)

    def action_last(self) -> None:
        self.go_to(len(self) - 1)

    def on_click(self, event: events.Click) -> None:
        if event.y >= self.HEADINGS:
            self.go_to(self.scroll_offset.y + event.y - self.HEADINGS)

    # --- styles ---

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def style_of(self, name: str) -> Style:
        """How a part of a line looks: `""` is plain text, `cursor` the ground that the cursor's line has."""
        if name not in self._styles:
            self._styles[name] = self.component_style(name) if name else self.rich_style
        return self._styles[name]

    def component_style(self, name: str) -> Style:
        """What the style sheet says of it."""
        if name == "cursor":  # its foreground is the text's own
            return Style(bgcolor=self.get_component_rich_style("lines--cursor").bgcolor)
        return self.get_component_rich_style(f"{self.STYLED}--{name}")
