"""The pane of one answer in full."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.chat.message import Message
from core.report.difference import Piece, difference
from core.report.prediction import Prediction
from core.report.rows import EXACT, OpenReport
from tui.widgets.report_columns import value_text
from tui.widgets.report_numbers import face_of
from tui.widgets.report_sheet import LONGEST, Sheet, sheet_content

_HARDLY_ALIKE = 0.3
"""The share of the shorter text below which marks would only make both hard to read."""

_TOLD_ELSEWHERE = (
    EXACT,
    "accuracy",
    "margin",
    "chosen_reward",
    "rejected_reward",
    "loss",
    "reward",
    "empty",
    "truncated",
)


class RowSheet(VerticalScroll, can_focus=True):
    """Shows a `Sheet`, laid out for the width that there is."""

    DEFAULT_CSS = """
    RowSheet { padding: 1 1 0 1; scrollbar-size-vertical: 1; }
    RowSheet Static { width: 100%; height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._sheet: Sheet | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content(""))

    def show(self, sheet: Sheet | None) -> None:
        """Show an answer, or nothing."""
        self._sheet = sheet
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        shown = self.query_one(Static)
        width = max(20, self.scrollable_content_region.width or self.size.width - 3)
        drawn = sheet_content(self._sheet, width) if self._sheet is not None else Content("")
        if drawn != shown.content:
            shown.update(drawn)


def sheet_of(opened: OpenReport, index: int, asked: Sequence[Message], *, unfolded: bool, together: bool) -> Sheet:
    """An answer of a report as its sheet.

    Args:
        asked: what was said before the answer, where that is known.
    """
    row = opened.predictions[index]
    review = opened.review.of(row)
    pieces = _pieces(row.label[:LONGEST], row.predict[:LONGEST])
    scores = [
        (face.title, value_text(values[index], percent=face.percent))
        for name, values in opened.scores.items()
        if (face := face_of(name)) and name not in _TOLD_ELSEWHERE
    ]
    return Sheet(
        prediction=row,
        pieces=pieces,
        alike=_alike(pieces),
        right=None if row.error else _right(opened, index),
        scores=scores,
        verdict=review.verdict,
        note=review.note,
        turns=[(message.role, message.content) for message in asked],
        others=_others(opened, index),
        unfolded=unfolded,
        together=together,
    )


@lru_cache(maxsize=64)
def _pieces(reference: str, answer: str) -> list[Piece]:
    return difference(reference, answer)


def _alike(pieces: Sequence[Piece]) -> bool:
    shared = sum(len(piece.text) for piece in pieces if piece.kind == "same")
    removed = sum(len(piece.text) for piece in pieces if piece.kind == "removed")
    added = sum(len(piece.text) for piece in pieces if piece.kind == "added")
    return shared >= _HARDLY_ALIKE * (shared + min(removed, added))


def _right(opened: OpenReport, index: int) -> bool | None:
    value = opened.scores[EXACT][index]
    return None if value is None else value > 0


def _others(opened: OpenReport, index: int) -> list[tuple[Prediction, bool | None]]:
    """The other answers to the same question: in the data's order they stand around this one."""
    if opened.report.repeats < 2:
        return []
    row = opened.predictions[index]
    around = range(max(0, index - opened.report.repeats), min(len(opened), index + opened.report.repeats + 1))
    return [
        (opened.predictions[at], _right(opened, at))
        for at in around
        if at != index and opened.predictions[at].row == row.row
    ]
