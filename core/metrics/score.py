"""All answers of a set, measured: a number for each row, values with their intervals, and what they do not mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from core.metrics.artefacts import artefacts, uncounted
from core.metrics.catalog import fitting
from core.metrics.classes import confusion
from core.metrics.columns import Column, row_scores
from core.metrics.compared import NAMES as COMPARED
from core.metrics.intervals import intervals
from core.metrics.metric import Measuring, Metric, Pair, Scores, Sums, Value
from core.metrics.shown import learn

FACTORY = {
    "bleu-4": "predict_bleu-4",
    "rouge-1": "predict_rouge-1",
    "rouge-2": "predict_rouge-2",
    "rouge-l": "predict_rouge-l",
}


def score(
    pairs: Sequence[Pair],
    metrics: Sequence[Metric] | None = None,
    measuring: Measuring | None = None,
    on_progress: Callable[[float], None] | None = None,
    *,
    groups: Sequence[int] | None = None,
    repeats: Sequence[int] | None = None,
) -> Scores:
    """Measure answers.

    Args:
        metrics: None: those that fit the answers (`core.metrics.catalog.fitting`).
        on_progress: told how much of the rows is done, 0 to 1.
        groups: for each pair the question that it answers, where questions were asked several times.
        repeats: for each pair which time that was; for the spread.

    Raises:
        MetricError: a metric of the user's own fails on a row.
    """
    measuring = measuring or Measuring()
    chosen = list(metrics) if metrics is not None else fitting(pairs, measuring)
    rows = row_scores(pairs, [metric for metric in chosen if metric.of_row], measuring, on_progress)
    rows = {name: column for name, column in rows.items() if any(value is not None for value in column)}
    sums = {metric.name: found for metric in chosen if metric.of_sums and (found := metric.of_sums(pairs, measuring))}
    ends = intervals(rows, sums, measuring, groups)
    values = {}
    for metric in chosen:
        value = _value(metric, pairs, measuring, rows, sums)
        if value is not None:
            spread = _spread(metric, pairs, measuring, rows, sums, repeats)
            low, high = ends.get(metric.name, (None, None))
            values[metric.name] = replace(
                value, low=low, high=high, spread=spread, unit=metric.unit, better=metric.better
            )
    learn(values)
    return Scores(
        values=values,
        rows=rows,
        artefacts=(*artefacts(pairs, values, measuring), *uncounted([metric.name for metric in metrics or ()], values)),
        confusion=None if "accuracy" in rows else confusion(pairs),
        compatible=_compatible(rows, values),
    )


def _value(
    metric: Metric, pairs: Sequence[Pair], measuring: Measuring, rows: Mapping[str, Column], sums: Mapping[str, Sums]
) -> Value | None:
    """The metric without its interval; None where it does not fit."""
    if metric.name in rows:
        return _mean(rows[metric.name])
    if metric.name in sums:
        return _of_sums(sums[metric.name], range(len(pairs)))
    value = metric.of_set(pairs, measuring) if metric.of_set else None
    return None if value is None else Value(value, len(pairs))


def _mean(column: Sequence[float | None]) -> Value | None:
    numbers = [value for value in column if value is not None]
    if not numbers:
        return None
    return Value(math.fsum(numbers) / len(numbers), len(numbers), median=statistics.median(numbers))


def _of_sums(sums: Sums, chosen: Sequence[int]) -> Value | None:
    each = [sums.each[at] for at in chosen if any(sums.each[at])]
    return Value(sums.value([math.fsum(column) for column in zip(*each, strict=True)]), len(each)) if each else None


def _spread(
    metric: Metric,
    pairs: Sequence[Pair],
    measuring: Measuring,
    rows: Mapping[str, Column],
    sums: Mapping[str, Sums],
    repeats: Sequence[int] | None,
) -> float | None:
    """The standard deviation of the metric over the repeats; None where everything was asked once."""
    values = []
    for repeat in sorted(set(repeats or ())):
        at = [number for number, of in enumerate(repeats or ()) if of == repeat]
        of_rows = {metric.name: [rows[metric.name][number] for number in at]} if metric.name in rows else {}
        of_sums = (
            {metric.name: Sums([sums[metric.name].each[number] for number in at], sums[metric.name].value)}
            if metric.name in sums
            else {}
        )
        value = _value(metric, [pairs[number] for number in at], measuring, of_rows, of_sums)
        values += [value.value] if value is not None else []
    return statistics.stdev(values) if len(values) > 1 else None


def _compatible(rows: Mapping[str, Column], values: Mapping[str, Value]) -> dict[str, float]:
    """Of pairs the accuracy as a share and the loss, as their trainer's metrics; the rest as ours calls it."""
    found = {FACTORY[name]: _rounded_mean(column) for name, column in rows.items() if name in FACTORY}
    for name in COMPARED:
        if name in values:
            share = 100 if values[name].unit == "percent" else 1
            found[f"predict_{name.removeprefix('pair_')}"] = values[name].value / share
    return found


def _rounded_mean(column: Column) -> float:
    import numpy as np  # its order of adding up is theirs

    return float(np.mean([round(value, 4) for value in column if value is not None]))
