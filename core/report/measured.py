"""The rows of a report, measured: which answers count, and which of them belong to one question.

A row without an answer, because of an error, counts nowhere: it says nothing about the model. It is told, with the n of
every number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from core.i18n import _
from core.metrics.metric import Artefact, Measuring, Metric, Pair, Scores
from core.metrics.score import score
from core.report.prediction import Prediction


def pair_of(prediction: Prediction) -> Pair:
    """An answer as metrics see it."""
    return Pair(
        predict=prediction.predict,
        label=prediction.label,
        finish_reason=prediction.finish_reason or "",
        loss=prediction.loss,
        reward=prediction.reward,
        chosen=prediction.chosen,
        rejected=prediction.rejected,
        question=prediction.row,
    )


def measure(
    predictions: Sequence[Prediction],
    metrics: Sequence[Metric] | None = None,
    measuring: Measuring | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Scores:
    """Measure the rows of a report; `Scores.rows` has a place for each of them.

    Raises:
        MetricError: a metric of the user's own fails on a row.
    """
    answered = [at for at, row in enumerate(predictions) if not row.error]
    chosen = [predictions[at] for at in answered]
    repeated = any(row.repeat for row in chosen)
    scores = score(
        [pair_of(row) for row in chosen],
        metrics,
        measuring,
        on_progress,
        groups=[row.row for row in chosen] if repeated else None,
        repeats=[row.repeat for row in chosen] if repeated else None,
    )
    failed = len(predictions) - len(answered)
    if not failed:
        return scores
    text = _("{those} of {rows} rows have no answer because of an error, and count nowhere")
    told = Artefact("", text.format(those=failed, rows=len(predictions)))
    rows = {name: _spread_out(column, answered, len(predictions)) for name, column in scores.rows.items()}
    return dataclasses.replace(scores, rows=rows, artefacts=(told, *scores.artefacts))


def _spread_out(column: Sequence[float | None], places: Sequence[int], count: int) -> list[float | None]:
    whole: list[float | None] = [None] * count
    for place, value in zip(places, column, strict=True):
        whole[place] = value
    return whole
