"""Curves for the eye: LLaMA-Factory's smoothing, one column of dots for many points, strips of bars.

A point may stand for many logged ones, since long runs come folded (`core.runs.curve.Slice`). The smoothing counts
such a point as often as it stands for one, so that a folded curve ends where the unfolded one would.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from core.runs.curve import Slice

_MANY = 256
"""From so many points on it pays to draw columns instead of points."""
MARKS = "▁▂▃▄▅▆▇█"


def single(step: int, value: float) -> Slice:
    """A point that was logged as it is."""
    return Slice(step, step, value, value, value)


def smoothing_weight(count: int) -> float:
    """How much of the past LLaMA-Factory's exponential mean keeps in a curve of so many points."""
    return 1.8 * (1 / (1 + math.exp(-0.05 * count)) - 0.5)


class Smoothing:
    """The exponential mean at each point of a curve, seeded with the first value; NaN at gaps.

    How much of the past is kept goes by how many points there are, so a short curve is smoothed anew with each point.
    From some 700 points on it is 0.9 to the last digit, and what was computed for a point stands.
    """

    def __init__(self) -> None:
        self.means: list[float] = []
        self._weight = self._mean = math.nan
        self._count = 0

    def follow(self, points: Sequence[Slice], same: int = 0) -> int:
        """Smooth these points.

        Args:
            same: 0, or as many as there were the last time, when the first so many of these are the same ones.

        Returns:
            How many means are those of the last time.
        """
        self._count = sum(point.count for point in points[same:]) + (self._count if same else 0)
        weight = smoothing_weight(self._count)
        if weight != self._weight or not same:
            self.means, self._weight, self._mean, same = [], weight, math.nan, 0
        mean = self._mean
        for point in points[same:]:
            value = point.mean
            if value != value:
                self.means.append(value)
                continue
            kept = weight if point.count == 1 else weight**point.count
            mean = value if mean != mean else mean * kept + value * (1 - kept)
            self.means.append(mean)
        self._mean = mean
        return same


def smoothed(points: Sequence[Slice]) -> list[float]:
    """The exponential mean at each point."""
    smoothing = Smoothing()
    smoothing.follow(points)
    return smoothing.means


def nearest(points: Sequence[Slice], step: float) -> int | None:
    """The index of the point nearest to a step."""
    after = bisect_left(points, step, key=lambda point: point.last)
    around = [index for index in (after - 1, after) if 0 <= index < len(points)]
    return min(around, key=lambda index: abs(points[index].last - step), default=None)


def window(points: Sequence[Slice], first: float, last: float) -> slice:
    """Where the points from one step to another stand, and one beyond each end, so that lines reach the edges."""
    start = bisect_left(points, first, key=lambda point: point.last)
    end = bisect_right(points, last, key=lambda point: point.last)
    return slice(max(0, start - 1), end + 1)


@dataclass(slots=True)
class Column:
    """What lies in one column of dots; `value` is the last there, NaN for a gap."""

    x: float
    """In dots from the left."""
    value: float
    low: float
    high: float
    count: int = 1


def columns(
    points: Sequence[Slice], first: float, dots_per_step: float, means: Sequence[float] | None = None
) -> list[Column]:
    """Points as columns of dots, the many in one column as one.

    Args:
        first: the step at the left end.
        means: what is drawn in the points' place, without their lows and highs.
    """
    values = [point.mean for point in points] if means is None else means
    if len(points) > _MANY and sum(values) == sum(values):  # else there is a gap
        return _binned(points, values, first, dots_per_step, whole=means is None)
    return _one_by_one(points, values, first, dots_per_step, whole=means is None)


def _binned(
    points: Sequence[Slice], values: Sequence[float], first: float, dots_per_step: float, *, whole: bool
) -> list[Column]:
    """The same as `_one_by_one` for points without a gap, three times as fast: six live curves are redrawn each second.

    Args:
        whole: with the points' lows and highs.
    """
    places = [(point.last - first) * dots_per_step for point in points]
    lows = [point.low for point in points] if whole else values
    highs = [point.high for point in points] if whole else values
    found: list[Column] = []
    start = 0
    while start < len(points):
        x = places[start]
        end = start + 1 if x < 0 else bisect_left(places, int(x) + 1, start)
        low, high = min(lows[start:end]), max(highs[start:end])
        found.append(Column(places[end - 1], values[end - 1], low, high, end - start))
        start = end
    return found


def _one_by_one(
    points: Sequence[Slice],
    values: Sequence[float],
    first: float,
    dots_per_step: float,
    *,
    whole: bool,
    before: Sequence[Column] = (),
) -> list[Column]:
    """Point by point.

    Args:
        whole: with the points' lows and highs.
        before: the columns of the points before these; the last of them takes in what lies in it.
    """
    found = list(before)
    now = found[-1] if found else None
    place = floor(now.x) if now is not None else -1
    for index, point in enumerate(points):
        x = (point.last - first) * dots_per_step
        value = values[index]
        low, high = (point.low, point.high) if whole else (value, value)
        if now is None or floor(x) != place or x < 0:
            now, place = Column(x, value, low, high), floor(x)
            found.append(now)
            continue
        now.count += 1
        if value != value:
            continue
        if now.value != now.value:
            now.low, now.high = low, high
        elif low < now.low or high > now.high:
            now.low, now.high = min(low, now.low), max(high, now.high)
        now.x, now.value = x, value
    return found


class GrowingColumns:
    """The columns of a curve that grows: its new points join the last column or make others."""

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self._taken = slice(0, 0)
        self._scale = (math.nan, math.nan)

    def follow(
        self,
        points: Sequence[Slice],
        means: Sequence[float] | None,
        inside: slice,
        scale: tuple[float, float],
        same: int,
    ) -> int:
        """Take the columns of the points from one index to another.

        Args:
            means: as for `columns`.
            inside: the indices.
            scale: the step at the left end, and dots per step.
            same: how many of the points, and of their means, are those of the last time.

        Returns:
            How many columns are those of the last time.
        """
        start, end, _step = inside.indices(len(points))
        before = self._taken
        grows = scale == self._scale and start == before.start and before.start < before.stop <= min(same, end)
        self._taken, self._scale = slice(start, end), scale
        if not grows:
            part = slice(start, end)
            self.columns = columns(points[part], *scale, None if means is None else means[part])
            return 0
        added = points[before.stop : end]
        values = [point.mean for point in added] if means is None else means[before.stop : end]
        known = len(self.columns) - 1 if added else len(self.columns)
        self.columns = _one_by_one(added, values, *scale, whole=means is None, before=self.columns)
        return known


def sparkline(points: Sequence[Slice], width: int) -> str:
    """A strip of bars, one for each of at most `width` equal parts; flat curves stand half high, gaps are blank."""
    count, cells = len(points), min(width, len(points))
    parts = [points[cell * count // cells : (cell + 1) * count // cells] for cell in range(cells)]
    means = [_mean([point.mean for point in part]) for part in parts]
    finite = [mean for mean in means if mean is not None]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    return "".join(" " if mean is None else MARKS[round((mean - low) / span * 7) if span else 3] for mean in means)


def _mean(values: Sequence[float]) -> float | None:
    """Of those that are numbers."""
    total = sum(values)
    if not math.isfinite(total):
        values = [value for value in values if math.isfinite(value)]
        total = sum(values)
    return total / len(values) if values else None
