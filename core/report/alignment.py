"""Which rows of several reports are the same question, asked the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.i18n import _, plural
from core.report.prediction import Prediction
from core.report.rows import OpenReport

Key: TypeAlias = tuple[str | int, int]


@dataclass(frozen=True, slots=True)
class Aligned:
    """The rows that all reports have."""

    rows: tuple[tuple[int, ...], ...]
    """For each its number in every report, in the first report's order."""
    questions: tuple[str | int, ...]
    """What each asks; repeats ask the same."""
    warnings: tuple[str, ...]

    @property
    def groups(self) -> list[int] | None:
        """The questions as numbers; None where each was asked once."""
        numbers: dict[str | int, int] = {}
        groups = [numbers.setdefault(question, len(numbers)) for question in self.questions]
        return groups if len(numbers) < len(groups) else None


def aligned(reports: Sequence[OpenReport]) -> Aligned:
    """Rows by their ids where all reports have such, else by their numbers; labels have to agree."""
    by_id = all(_ids_name_rows(report.predictions) for report in reports)
    places = [_places(report.predictions, by_id) for report in reports]
    common = [key for key in places[0] if all(key in of_report for of_report in places)]
    rows, questions = [], []
    for key in common:
        numbers = tuple(of_report[key] for of_report in places)
        labels = {report.predictions[at].label.strip() for report, at in zip(reports, numbers, strict=True)}
        if len(labels) == 1:
            rows.append(numbers)
            questions.append(key[0])
    return Aligned(tuple(rows), tuple(questions), tuple(_warnings(places, len(common), len(rows))))


def _ids_name_rows(rows: Sequence[Prediction]) -> bool:
    """Whether every row has an id, and no two of one repeat the same."""
    return all(row.id for row in rows) and len({(row.id, row.repeat) for row in rows}) == len(rows)


def _places(rows: Sequence[Prediction], by_id: bool) -> dict[Key, int]:
    return {(row.id if by_id else row.row, row.repeat): at for at, row in enumerate(rows)}


def _warnings(places: Sequence[dict[Key, int]], common: int, kept: int) -> list[str]:
    told = []
    every = len(set().union(*places))
    if common < every:
        text = _("{common} of {every} rows are in all reports; the others are left out")
        told.append(text.format(common=f"{common:,}", every=f"{every:,}"))
    if kept < common:
        told.append(
            plural(
                "{count} row has another label in another report, and is left out",
                "{count} rows have other labels in other reports, and are left out",
                common - kept,
            )
        )
    return told
