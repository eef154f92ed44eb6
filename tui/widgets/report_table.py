"""The rows of an open report as their list shows them."""

from __future__ import annotations

from collections.abc import Sequence

from core.report.rows import EXACT, OpenReport
from tui.widgets.report_columns import ReportTable, ScoreColumn, shared_ends
from tui.widgets.report_numbers import face_of

_JUDGED_BY = 60


def table_of(opened: OpenReport, order: Sequence[int]) -> ReportTable:
    """The rows of a report as their list shows them."""
    columns = [_column(name, values) for name, values in opened.scores.items()]
    exact = opened.scores.get(EXACT, ())
    right = [None if value is None else value > 0 for value in exact]
    prompts = [row.prompt for row in opened.predictions[:_JUDGED_BY]]
    opening, ending = shared_ends(prompts)
    return ReportTable(opened.predictions, columns, order, right, marks_of(opened), opening, ending)


def marks_of(opened: OpenReport) -> dict[int, tuple[str, bool]]:
    """Verdicts and notes by the number of their row."""
    if not len(opened.review):
        return {}
    reviews = ((index, opened.review.of(row)) for index, row in enumerate(opened.predictions))
    return {index: (each.verdict, bool(each.note)) for index, each in reviews if each.verdict or each.note}


def _column(name: str, values: Sequence[float | None]) -> ScoreColumn:
    face = face_of(name)
    return ScoreColumn(name, face.title, face.percent, values)
