"""A curve of any length in bounded memory: the newest points as they are, the older ones folded into slices.

A slice keeps the lowest, the highest and the mean value of what it covers, so that a spike of one step stays to be
seen in a run of a million.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_NEW, _OLD = 1024, 1024


@dataclass(frozen=True, slots=True)
class Slice:
    """Some neighbouring points of a curve; a single point has low = high = mean. NaN where no value is a number."""

    first: int
    """The step of the first point, and of the last one."""
    last: int
    low: float
    high: float
    mean: float
    count: int = 1


class Curve:
    """Values by step, in the order of their steps; a step that comes again takes the place of what stood from there."""

    def __init__(self) -> None:
        self._old: list[Slice] = []
        self._new: list[Slice] = []
        self._width = 1
        """How many points an old slice covers."""

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    @property
    def last(self) -> float:
        """The newest value; NaN where there is none."""
        return self._new[-1].mean if self._new else self._old[-1].mean if self._old else math.nan

    @property
    def last_step(self) -> int:
        """Of the newest point; 0 where there is none."""
        newest = self._new or self._old
        return newest[-1].last if newest else 0

    @property
    def slices(self) -> list[Slice]:
        """The whole curve, at most some thousand slices of one point or more."""
        return [*self._old, *self._new]

    def add(self, step: int, value: float) -> None:
        """Put a point at the end. Infinite values count as no number: nothing could be drawn to scale beside them."""
        if len(self) and step <= self.last_step:
            self.cut(step - 1)
        number = value if math.isfinite(value) else math.nan
        self._new.append(Slice(step, step, number, number, number))
        if len(self._new) == 2 * _NEW:
            self._fold()

    def cut(self, step: int) -> None:
        """Forget what comes after a step. Exact for the newest thousand points; an old slice is cut as a whole."""
        self._new = [point for point in self._new if point.last <= step]
        if not self._new:
            self._old = [piece for piece in self._old if piece.last <= step]

    def _fold(self) -> None:
        points, self._new = self._new[:_NEW], self._new[_NEW:]
        self._old += [_joined(points[at : at + self._width]) for at in range(0, _NEW, self._width)]
        if len(self._old) > _OLD:
            self._old = [_joined(self._old[at : at + 2]) for at in range(0, len(self._old), 2)]
            self._width = min(2 * self._width, _NEW)


def _joined(pieces: list[Slice]) -> Slice:
    numbers = [piece for piece in pieces if not math.isnan(piece.mean)]
    count = sum(piece.count for piece in pieces)
    if not numbers:
        return Slice(pieces[0].first, pieces[-1].last, math.nan, math.nan, math.nan, count)
    weight = sum(piece.count for piece in numbers)
    return Slice(
        pieces[0].first,
        pieces[-1].last,
        min(piece.low for piece in numbers),
        max(piece.high for piece in numbers),
        sum(piece.mean * piece.count for piece in numbers) / weight,
        count,
    )
