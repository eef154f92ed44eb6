"""A short list of what a half-typed line may become, above the input.

It knows nothing of commands: whoever owns the input says what a text may become, with a help text each. The keys stay
with the input, which moves the highlight and takes the value. The list lies over what is above it, so nothing moves
when it opens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from core.untrusted import inert_line

_MOST_ROWS = 8

Complete = Callable[[str], Sequence[tuple[str, str]]]


class Completion(Widget, can_focus=False):
    """The list; hidden while there is nothing to offer."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"completion--value", "completion--help", "completion--highlight"}
    DEFAULT_CSS = """
    Completion {
        overlay: screen;
        display: none;
        width: 100%;
        max-width: 90;
        background: $panel;
        color: $foreground;
        & .completion--value { color: $text-primary; background: $panel; text-style: bold; }
        & .completion--help { color: $text-muted; background: $panel; }
        & .completion--highlight { color: $block-cursor-foreground; background: $block-cursor-background; }
        &:ansi .completion--highlight { text-style: reverse; }
    }
    """
    ALLOW_SELECT = False

    def __init__(self, complete: Complete, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._complete = complete
        self._text = ""
        self.options: list[tuple[str, str]] = []
        self.highlighted = 0
        self.taken: Callable[[str], None] | None = None
        """Called with the value that is clicked."""

    @property
    def is_open(self) -> bool:
        """Whether there is something to choose."""
        return bool(self.options)

    @property
    def value(self) -> str:
        """The highlighted value."""
        return self.options[self.highlighted][0]

    def offer(self, text: str) -> None:
        """Shows what the text may become; nothing when it is that already."""
        self._text = text
        self._show([option for option in self._complete(text) if option[0]] if text else [], text)

    def renew(self, text: str) -> None:
        """Offers anew if the text is another than the last time; a list that was closed stays so until then."""
        if text != self._text:
            self.offer(text)

    def _show(self, options: Sequence[tuple[str, str]], text: str = "") -> None:
        done = len(options) == 1 and options[0][0].rstrip() == text.rstrip()
        options = [] if done else list(options)
        if options == self.options:
            return
        self.options, self.highlighted = options, 0
        rows = max(1, min(len(options), _MOST_ROWS, self._room))
        self.styles.height = rows
        self.styles.offset = (0, -rows)
        self.display = bool(options)
        self.refresh()

    @property
    def _room(self) -> int:
        """Rows of the screen above the widget that follows this one."""
        siblings = list(self.parent.children) if self.parent is not None else [self]
        following = siblings[siblings.index(self) + 1 :]
        return following[0].region.y if following else _MOST_ROWS

    def close(self) -> None:
        """Hides the list until the text changes."""
        self._show([])

    def move(self, step: int) -> None:
        """Highlights another value, around the ends."""
        self.highlighted = (self.highlighted + step) % len(self.options)
        self.refresh()

    @property
    def _first(self) -> int:
        """The option in the first row: the highlighted one stays in view."""
        return max(0, self.highlighted - self.size.height + 1)

    def render_line(self, y: int) -> Strip:
        """One option: its value, and its help in the space that is left."""
        index, width = self._first + y, self.size.width
        if index >= len(self.options):
            return Strip.blank(width, self.rich_style)
        value, help_text = map(inert_line, self.options[index])
        column = min(width, max(cell_len(inert_line(option.rstrip())) for option, _help in self.options) + 4)
        names = ["highlight", "highlight"] if index == self.highlighted else ["value", "help"]
        styles = [self.get_component_rich_style(f"completion--{name}") for name in names]
        mark = "› " if index == self.highlighted else "  "
        texts = [set_cell_size(mark + value, column), set_cell_size(help_text, width - column)]
        return Strip(map(Segment, texts, styles), width)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        index = self._first + event.y
        if index < len(self.options) and self.taken is not None:
            self.taken(self.options[index][0])
