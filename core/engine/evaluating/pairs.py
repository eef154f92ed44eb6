"""Answers as metrics see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring, Pair, Scores
from core.metrics.score import score
from core.report.prediction import Prediction


def pair_of(prediction: Prediction) -> Pair:
    return Pair(
        prediction.predict, prediction.label, prediction.finish_reason or "", prediction.loss, prediction.reward
    )


def scored(predictions: Sequence[Prediction], names: Sequence[str], measuring: Measuring, repeats: int) -> Scores:
    """The numbers of some answers; rows that have none count for nothing and have no number.

    Args:
        names: of metrics; none: those that fit.
        repeats: how often each row was asked.
    """
    answered = [at for at, prediction in enumerate(predictions) if not prediction.error]
    rows = [predictions[at] for at in answered]
    several = repeats > 1
    found = score(
        [pair_of(row) for row in rows],
        find_metrics(names) if names else None,
        measuring,
        groups=[row.row for row in rows] if several else None,
        repeats=[row.repeat for row in rows] if several else None,
    )
    if len(answered) == len(predictions):
        return found
    return replace(
        found, rows={name: _spread_out(column, answered, len(predictions)) for name, column in found.rows.items()}
    )


def _spread_out(column: Sequence[float | None], at: Sequence[int], count: int) -> list[float | None]:
    whole: list[float | None] = [None] * count
    for place, value in zip(at, column, strict=True):
        whole[place] = value
    return whole
