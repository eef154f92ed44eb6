"""How much reports differ on the same rows: differences resampled in pairs, and McNemar's exact test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.metrics.intervals import Interval, Summed, percentiles, resampled
from core.metrics.metric import Better, Measuring, Value
from core.metrics.shown import described
from core.report.alignment import Aligned
from core.report.rows import EXACT

Column: TypeAlias = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Delta:
    """How much a metric differs from the baseline's, on the rows where it counts in all reports."""

    metric: str
    baseline: float
    value: float
    delta: float
    """`value` less `baseline`."""
    n: int
    low: float | None = None
    high: float | None = None
    """The 95 % interval of `delta`, from a paired bootstrap."""
    improved: int = 0
    """Rows whose number is better than the baseline's; none for metrics of whole sets."""
    regressed: int = 0

    @property
    def better(self) -> bool | None:
        """Whether it is better for certain (the interval excludes 0); None where that is open."""
        direction = described(self.metric).better
        if self.low is None or self.high is None or not direction or self.low <= 0 <= self.high:
            return None
        return (self.delta > 0) == (direction == "higher")


@dataclass(frozen=True, slots=True)
class McNemar:
    """Whether two models are right equally often, by the rows where exactly one of them is."""

    only_baseline: int
    only_other: int
    p: float
    """Two-sided, exact: how often a fair coin would be as one-sided."""


@dataclass(frozen=True, slots=True)
class Against:
    """A report beside the baseline."""

    number: int
    """Of the report among those compared."""
    deltas: Mapping[str, Delta]
    mcnemar: McNemar | None
    """Of exact match; None where questions were asked several times, which are no independent rows."""


def mcnemar(baseline: Column, other: Column) -> McNemar:
    """McNemar's exact test of two columns of right (100) and wrong (0)."""
    only_baseline = only_other = 0
    for was, now in zip(baseline, other, strict=True):
        only_baseline += bool(was) and not now
        only_other += bool(now) and not was
    return McNemar(only_baseline, only_other, _two_sided(min(only_baseline, only_other), only_baseline + only_other))


def _two_sided(fewer: int, tosses: int) -> float:
    """How often `tosses` of a fair coin show one side at most `fewer` times, whichever side."""
    ways = below = 1
    for heads in range(fewer):
        ways = ways * (tosses - heads) // (heads + 1)
        below += ways
    return min(1.0, 2 * below / (1 << tosses))


def paired(
    metrics: Mapping[str, tuple[Summed, ...]],
    columns: Mapping[str, tuple[Column, ...]],
    found: Aligned,
    measuring: Measuring,
) -> tuple[dict[str, tuple[Value, ...]], tuple[Against, ...]]:
    """By metric a value for each report, and every report but the first against the first.

    Args:
        metrics: by name the metric of each report, on the common rows.
        columns: of those that are metrics of rows, a number for each common row.
    """
    drawn = _drawn(metrics, found, measuring)
    values = {
        name: tuple(_value(one, draws) for one, draws in zip(each, of, strict=True))
        for (name, each), of in zip(metrics.items(), drawn.values(), strict=True)
    }
    reports = len(next(iter(metrics.values()))) if metrics else 0
    against = []
    for number in range(1, reports):
        deltas = {
            name: _delta(name, of_reports, number, drawn[name], columns.get(name))
            for name, of_reports in values.items()
        }
        against.append(Against(number, deltas, _mcnemar(columns, number, found)))
    return values, tuple(against)


def _drawn(metrics: Mapping[str, tuple[Summed, ...]], found: Aligned, measuring: Measuring) -> dict[str, list[Any]]:
    """By metric for each report its values on the same draws; None where nothing was drawn."""
    if not measuring.bootstrap or len(set(found.questions)) < 2:
        return {name: [None] * len(each) for name, each in metrics.items()}
    keyed = {f"{number} {name}": one for name, each in metrics.items() for number, one in enumerate(each)}
    draws = resampled(keyed, measuring.bootstrap, measuring.seed, found.groups)
    return {name: [draws[f"{number} {name}"] for number in range(len(each))] for name, each in metrics.items()}


def _value(metric: Summed, draws: Any) -> Value:
    point = float(metric.value(metric.each.sum(axis=0, keepdims=True))[0])
    low, high = _ends(draws)
    return Value(point, int(metric.each.any(axis=1).sum()), low, high)


def _ends(draws: Any) -> Interval | tuple[None, None]:
    return (percentiles({"": draws}).get("") if draws is not None else None) or (None, None)


def _delta(
    name: str, values: Sequence[Value], number: int, draws: Sequence[Any], columns: tuple[Column, ...] | None
) -> Delta:
    was, now = values[0], values[number]
    low, high = _ends(None if draws[0] is None else draws[number] - draws[0])
    improved, regressed = _counts(columns, number, described(name).better)
    return Delta(name, was.value, now.value, now.value - was.value, now.n, low, high, improved, regressed)


def _counts(columns: tuple[Column, ...] | None, number: int, better: Better) -> tuple[int, int]:
    if columns is None or not better:
        return 0, 0
    both = zip(columns[0], columns[number], strict=True)
    steps = [now - was for was, now in both if was is not None and now is not None]
    rose, fell = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    return (rose, fell) if better == "higher" else (fell, rose)


def _mcnemar(columns: Mapping[str, tuple[Column, ...]], number: int, found: Aligned) -> McNemar | None:
    if EXACT not in columns or len(set(found.questions)) < len(found.rows):
        return None
    return mcnemar(columns[EXACT][0], columns[EXACT][number])
