"""A chart of a run's metric. Only cells that changed are sent to the terminal: six of them, live, cost little over SSH.

Textual's own `Sparkline` sends its whole area at each update, hides flat curves and fails on NaN.
"""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.charts.plot import COLOURS, Chart, Plot, Row, View

_PLAIN = ("title", "current", "axis", "crosshair")
_NAMES = (*_PLAIN, *(f"{part}-{n}" for part in ("line", "raw", "mark") for n in range(COLOURS)))


class Curve(Widget):
    """Shows a `Chart`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"curve--{name}" for name in _NAMES}
    _COLOURS: ClassVar = (
        "$text-primary",
        "$text-warning",
        "$text-success",
        "$text-accent",
        "$text-error",
        "$secondary",
    )
    DEFAULT_CSS = """
    Curve { height: 1fr; background: $background; color: $foreground; }
    Curve .curve--title { color: $foreground; text-style: bold; }
    Curve .curve--current { color: $text-primary; text-style: bold underline; }
    Curve .curve--axis { color: $text-muted; }
    Curve .curve--crosshair { color: $text-muted; }
    """ + "".join(
        f"Curve .curve--line-{n} {{ color: {colour}; }}\n"
        f"Curve .curve--raw-{n} {{ color: {colour} 45%; }}\n"
        f"Curve .curve--mark-{n} {{ color: {colour}; text-style: bold; }}\n"
        for n, colour in enumerate(_COLOURS)
    )

    class Clicked(Message):
        """The mouse pointed at a share (0 to 1) of this chart's width."""

        def __init__(self, curve: Curve, share: float) -> None:
            super().__init__()
            self.curve = curve
            self.share = share

    def __init__(self) -> None:
        super().__init__()
        self._chart = Chart("", ())
        self._view = View()
        self._plot = Plot()
        self._rows: list[Row] = []
        self._styles: dict[str, Style] = {}

    def show(self, chart: Chart, view: View) -> None:
        """Draw this from now on."""
        self._chart, self._view = chart, view
        before, self._rows = self._rows, self._plot.draw(chart, view, *self.size)
        if len(before) != len(self._rows):
            self.refresh()
            return
        changed = [region for y, row in enumerate(self._rows) if (region := _changed(before[y], row, y))]
        if changed:
            self.refresh(*changed)

    @property
    def text(self) -> str:
        """What is shown, row by row."""
        return "\n".join("".join(row.characters).rstrip() for row in self._rows)

    def on_resize(self) -> None:
        self._rows = self._plot.draw(self._chart, self._view, *self.size)
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    def render_line(self, y: int) -> Strip:
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        row = self._rows[y]
        cells = groupby(zip(row.styles, row.characters, strict=True), key=lambda cell: cell[0])
        segments = [Segment("".join(text for _style, text in part), self._style(name)) for name, part in cells]
        return Strip(segments, self.size.width)

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"curve--{name}") if name else self.rich_style
        return self._styles[name]

    def on_click(self, event: events.Click) -> None:
        gutter = 8
        self.post_message(
            self.Clicked(self, min(1.0, max(0.0, (event.x - gutter) / max(1, self.size.width - gutter - 2))))
        )


def _changed(before: Row, after: Row, y: int) -> Region | None:
    """The cells of a row that differ, from the first to the last of them."""
    if before.characters == after.characters and before.styles == after.styles:
        return None
    width = len(after.characters)
    if len(before.characters) != width:
        return Region(0, y, width, 1)
    pairs = list(zip(before.characters, after.characters, before.styles, after.styles, strict=True))
    differing = [x for x, (old, new, old_style, new_style) in enumerate(pairs) if old != new or old_style != new_style]
    start, end = differing[0], differing[-1]
    while start and not after.characters[start]:  # never from the middle of a wide character
        start -= 1
    return Region(start, y, min(width, end + 2) - start, 1)
