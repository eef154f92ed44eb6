"""The answers of a part, kept as they come: a journal on the disk, and what an earlier segment has left of one.

Whatever stands in the journal is answered; a line that a kill has torn is not. Rows that failed are asked again when a
run goes on, for what kept them from being answered may have passed. A report that is complete and has no failed rows
is never touched again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.engine.evaluating.parts import Part
from core.engine.evaluating.test_set import TestRow
from core.errors import ReportError
from core.report.files import append_prediction, in_data_order, read_journal, read_predictions
from core.report.prediction import Prediction
from core.report.report import Report
from core.report.store import read_report

Key = tuple[int, int]
"""A row's number, and which time it was asked."""


@dataclass
class Sheet:
    """The answers of one part so far."""

    part: Part
    answers: dict[Key, Prediction] = field(default_factory=dict)

    def missing(self) -> Iterator[tuple[TestRow, int]]:
        """What is still to be asked."""
        for row, repeat in self.part.wanted():
            found = self.answers.get((row.number, repeat))
            if found is None or found.error:
                yield row, repeat

    def add(self, *predictions: Prediction) -> None:
        """Keep answers; of several for one row the last counts.

        Raises:
            OSError: the disk takes no more; what was added before is safe.
        """
        append_prediction(self.part.files.journal, *predictions)
        for prediction in predictions:
            self.answers[prediction.row, prediction.repeat] = prediction

    def in_order(self) -> list[Prediction]:
        """In the data's order."""
        return in_data_order(self.answers.values())

    @property
    def is_whole(self) -> bool:
        """Whether there is something for every row, an answer or why there is none."""
        return len(self.answers) == self.part.planned.rows


def open_sheet(part: Part) -> Sheet:
    """A part's answers, with those of earlier segments."""
    part.files.folder.mkdir(parents=True, exist_ok=True)
    answers: dict[Key, Prediction] = {}
    if part.files.report.exists():  # of a whole one the journal is gone, and has at most what was asked again since
        answers = {(row.row, row.repeat): row for row in read_predictions(part.files.predictions)}
    answers |= read_journal(part.files.journal)
    return Sheet(part, answers)


def settled_report(part: Part) -> Report | None:
    """The report of a part at which nothing is left to do."""
    with contextlib.suppress(ReportError):
        report = read_report(part.files.folder)
        if report.complete and not report.failed and report.answered == part.planned.rows:
            part.files.journal.unlink(missing_ok=True)  # a kill may have come between the two
            return report
    return None
