"""One curve of a chart, drawn on from where it stood at the last look.

A run tells a point a second, and a chart of thousands of points differs from the last one in its last column: means,
columns and dots of what was there already stay. Everything is computed anew where that does not hold: after a resume,
when old points are folded, when another range or scale is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.runs.curve import Slice
from tui.charts.axes import Scale
from tui.charts.braille import Dots
from tui.series import Column, GrowingColumns, Smoothing, window


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a curve that is looked at."""

    points: Sequence[Slice]
    means: Sequence[float] | None
    """The smoothed curve, where smoothing is on."""
    raw: Sequence[Column]
    main: Sequence[Column]
    """The smoothed curve's where smoothing is on, else the same as `raw`."""


class Tracing:
    """What is known of a curve from the last look."""

    def __init__(self) -> None:
        self._points: list[Slice] = []
        self._smoothing = Smoothing()
        self._raw, self._main = GrowingColumns(), GrowingColumns()
        self._raw_stroke, self._main_stroke = Stroke(), Stroke()

    def look(
        self, points: Sequence[Slice], first: float, last: float, dots_per_step: float, *, smooth: bool
    ) -> Stretch:
        """The curve from one step to another."""
        before = len(self._points)
        same = before if points[:before] == self._points else 0  # the same objects: told without looking into them
        self._points = list(points)
        inside, scale = window(points, first, last), (first, dots_per_step)
        self._raw_stroke.keep(self._raw.follow(points, None, inside, scale, same))
        if not smooth:
            self._smoothing = Smoothing()
            return Stretch(points[inside], None, self._raw.columns, self._raw.columns)
        # Smoothed before it is cut: what one zooms into stays the same curve.
        smoothed = self._smoothing.follow(points, min(same, len(self._smoothing.means)))
        means = self._smoothing.means
        self._main_stroke.keep(self._main.follow(points, means, inside, scale, smoothed))
        return Stretch(points[inside], means[inside], self._raw.columns, self._main.columns)

    def raw_dots(self, scale: Scale, width: int, height: int) -> Dots:
        """The curve as it was measured, in so many cells."""
        return self._raw_stroke.follow(self._raw.columns, scale, width, height)

    def main_dots(self, scale: Scale, width: int, height: int) -> Dots:
        """The smoothed curve."""
        return self._main_stroke.follow(self._main.columns, scale, width, height)


class Stroke:
    """A line from column to column, as a band where many points lie in one; NaN leaves a gap."""

    def __init__(self) -> None:
        self._dots = Dots(0, 0)
        """All columns but the last, which may grow yet."""
        self._drawn = 0
        self._before: tuple[float, float] | None = None
        self._for: tuple[Scale, int, int, bool] | None = None

    def keep(self, same: int) -> None:
        """Be told that only so many columns, from the first on, are still what they were."""
        if same < self._drawn:
            self._for = None

    def follow(self, columns: Sequence[Column], scale: Scale, width: int, height: int) -> Dots:
        """Draw these columns.

        Args:
            scale: from values to heights.
            width: in cells.
            height: in cells.
        """
        sparse = len(columns) <= width // 2  # lone points, like those of evaluations, have to be seen
        asked = (scale, width, height, sparse)
        if asked != self._for:
            self._dots, self._drawn, self._before = Dots(2 * width, 4 * height), 0, None
        self._for = asked
        ended = max(0, len(columns) - 1)
        for column in columns[self._drawn : ended]:
            self._before = _draw_column(self._dots, column, self._before, scale, sparse=sparse)
        self._drawn = ended
        dots = self._dots.copy()
        if columns:
            _draw_column(dots, columns[-1], self._before, scale, sparse=sparse)
        return dots


def _draw_column(
    dots: Dots, column: Column, before: tuple[float, float] | None, scale: Scale, *, sparse: bool
) -> tuple[float, float] | None:
    """Draw to a column from the place before; the place where it ends."""
    middle = scale.fraction(column.value)
    if math.isnan(middle):
        return None
    down = dots.down - 1
    x, y = column.x, (1 - middle) * down
    _draw_segment(dots, before or (x, y), (x, y))
    if column.high > column.low:
        low, high = scale.fraction(column.low), scale.fraction(column.high)
        low = 0.0 if math.isnan(low) else low
        dots.column(round(x), round((1 - high) * down), round((1 - low) * down))
    if sparse:
        dots.column(round(x), round(y) - 1, round(y) + 1)
    return x, y


def _draw_segment(dots: Dots, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A straight line, of which only what lies inside is drawn."""
    (x0, y0), (x1, y1) = start, end
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    left, right = max(x0, 0.0), min(x1, dots.across - 1.0)
    if left <= right:
        dots.line(round(left), round(y0 + slope * (left - x0)), round(right), round(y1 + slope * (right - x1)))
