"""A line that is drawn for the width that it has, also when that is known late or changes."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class FittedLine(Widget):
    """Shows what a function makes for a number of cells."""

    DEFAULT_CSS = """
    FittedLine { height: 1; padding: 0 1; }
    """

    drawn: reactive[Callable[[int], Content]] = reactive(lambda: lambda _width: Content(""), always_update=True)

    def render(self) -> Content:
        return self.content

    @property
    def content(self) -> Content:
        """What is shown."""
        width = max(1, self.content_size.width)
        return self.drawn(width).truncate(width, ellipsis=True)
