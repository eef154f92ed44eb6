"""Scales of a chart: round numbers at the axis, ranges that seldom change, values as short texts.

A range is widened to round numbers. That reads better, and while a curve grows most updates leave the range, and with
it nearly all cells, as they are: little is sent over the line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to the share of the axis below them."""

    low: float
    high: float
    log: bool = False

    def fraction(self, value: float) -> float:
        """0 at the low end, 1 at the high one; NaN for what this scale cannot show."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """At most so many round values of the range, from below."""
        if self.log:
            return _log_ticks(self.low, self.high, most)
        step = round_step((self.high - self.low) / max(1, most - 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)][:most]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(inside) <= most:
            return inside or [low]
    return inside[:: -(-len(inside) // most)]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in _ROUND if factor * power >= least * (1 - 1e-9)), 10 * power)


def value_scale(values: Sequence[float], *, log: bool) -> Scale:
    """A scale on which all of these lie. One with values below zero, as a margin's, is linear; zeros on a logarithmic
    one are left out."""
    finite = [value for value in values if math.isfinite(value)]
    log = log and min(finite, default=0.0) >= 0
    shown = [value for value in finite if value > 0 or not log]
    if not shown:
        return Scale(0.1, 10.0, True) if log else Scale(0.0, 1.0)
    low, high = min(shown), max(shown)
    if log:
        return Scale(_below(low), _above(high), True) if _below(low) < _above(high) else Scale(low / 2, low * 2, True)
    if high - low <= abs(high) * 1e-9:
        margin = abs(high) / 2 or 1.0
        return Scale(low - margin, high + margin)
    step = round_step((high - low) / 8)
    return Scale(math.floor(low / step) * step, math.ceil(high / step) * step)


def _below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(factor for factor in (1, 2, 5) if factor * power <= value * 1.000001 or factor == 1) * power


def _above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min(factor for factor in (1, 2, 5, 10) if factor * power >= value * 0.999999 or factor == 10) * power


def step_range(first: float, last: float, total: float = 0) -> tuple[float, float]:
    """The steps that are shown of a run that has come from `first` to `last`: up to a round number, or its end."""
    if last <= first:
        return first, first + 1
    step = round_step((last - first) / 10)
    end = math.ceil(last / step - 1e-9) * step
    return first, min(end, total) if total >= last else end


def number_text(value: float) -> str:
    """A value in at most seven characters: `0.5321`, `5e-05`, `12.3k`."""
    size = abs(value)
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "∞", "-inf": "-∞"}[str(value)]
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.1e}".replace(".0e", "e").replace("e+0", "e").replace("e-0", "e-")
    if size >= 1e4:
        return f"{value / 1000:.1f}k"
    return f"{value:.4g}"
