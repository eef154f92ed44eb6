"""A metric of a run as points to draw, and the smoothing that people know from LLaMA-Factory's pictures.

A point may stand for many logged ones: long runs come folded. Then `low` and `high` are what they lay between, and the
smoothing counts the point as often as it stands for one, so that a folded curve ends where the unfolded one would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

MARKS = "▁▂▃▄▅▆▇█"


class Point(NamedTuple):
    """What was logged at a step, or over the steps up to it. NaN values are gaps."""

    step: float
    value: float
    low: float
    high: float
    count: int = 1


def point(step: float, value: float) -> Point:
    """A single logged value."""
    return Point(step, value, value, value)


def smoothing_weight(count: int) -> float:
    """How much of the past LLaMA-Factory's exponential mean keeps for a curve of so many points."""
    return 1.8 * (1 / (1 + math.exp(-0.05 * count)) - 0.5)


def smoothed(points: Sequence[Point]) -> list[Point]:
    """The exponential mean of a curve, seeded with its first value; gaps stay gaps."""
    weight = smoothing_weight(sum(each.count for each in points if math.isfinite(each.value)))
    mean = math.nan
    out = []
    for each in points:
        if math.isfinite(each.value):
            kept = weight**each.count
            mean = each.value if math.isnan(mean) else mean * kept + each.value * (1 - kept)
            out.append(Point(each.step, mean, mean, mean, each.count))
        else:
            out.append(Point(each.step, math.nan, math.nan, math.nan, each.count))
    return out


def at_step(points: Sequence[Point], step: float) -> Point | None:
    """The point nearest to a step."""
    return min(points, key=lambda each: abs(each.step - step), default=None)


def last_finite(points: Sequence[Point]) -> Point | None:
    """The last point that is no gap."""
    return next((each for each in reversed(points) if math.isfinite(each.value)), None)


def sparkline(points: Sequence[Point], width: int) -> str:
    """A strip of bars, one for each of at most `width` equal parts; flat curves stand half high, gaps are blank."""
    count = len(points)
    parts = [points[cell * count // width : (cell + 1) * count // width] for cell in range(width)]
    if count < width:
        parts = [points[cell : cell + 1] for cell in range(count)]
    means = [_mean([each.value for each in part if math.isfinite(each.value)]) for part in parts]
    finite = [mean for mean in means if mean is not None]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    return "".join(" " if mean is None else MARKS[round((mean - low) / span * 7) if span else 3] for mean in means)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
