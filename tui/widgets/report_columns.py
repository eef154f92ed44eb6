"""The rows of a report as lines: number, verdict, right or wrong, as many metrics as fit, question and answer.

A line is laid out for a width: the reference leaves first, then metrics from the right, so that question and answer
keep room on 80 columns. What all questions begin or end with (a system prompt, a template's marks) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size

from core.i18n import _
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.rows import EXACT
from tui.widgets.row_view import cut

VERDICT_MARKS: Mapping[str, str] = {"good": "+", "bad": "-", "unsure": "?"}
NOTE_MARK = "✎"
_TEXT_CELLS, _WIDE_TEXT_CELLS = 48, 78
"""What the texts want together before another metric gets its column."""
_LIKENESS = (
    "margin",
    "chosen_reward",
    "rejected_reward",
    "bleu-4",
    "rouge-1",
    "rouge-2",
    "rouge-l",
    "edit_similarity",
    "token_f1",
    "list_f1",
    "reward",
    "loss",
)
"""What tells rows apart comes first; whether an answer is right, empty or cut has its mark already."""
_WIDE = 110


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A metric's values, one for each row."""

    name: str
    title: str
    percent: bool
    values: Sequence[float | None]

    @property
    def cells(self) -> int:
        return max(6, cell_len(self.title))

    def text(self, index: int) -> str:
        """A row's value; a dash where it does not count."""
        return value_text(self.values[index] if index < len(self.values) else None, percent=self.percent)


def value_text(value: float | None, *, percent: bool) -> str:
    """A score as tables show it."""
    if value is None or value != value:
        return "–"
    return f"{value:.1f}" if percent else f"{value:.4g}"


@dataclass(frozen=True)
class ReportTable:
    """The rows of a report in the order in which they are shown."""

    predictions: Sequence[Prediction] = ()
    columns: Sequence[ScoreColumn] = ()
    order: Sequence[int] = ()
    """Numbers of rows; those that a filter keeps."""
    right: Sequence[bool | None] = ()
    """Whether each answer equals its reference; None: nobody looked."""
    marks: Mapping[int, tuple[str, bool]] = field(default_factory=dict)
    """Of rows that a person has judged: the verdict, and whether there is a note."""
    opening: str = ""
    ending: str = ""
    """What every prompt begins and ends with."""

    def __len__(self) -> int:
        return len(self.order)


@dataclass(frozen=True, slots=True)
class RowLine:
    """The parts of a line, each of the width that it has in all lines."""

    number: str
    verdict: str
    state: str
    scores: str
    question: str
    answer: str
    reference: str


def state_mark(table: ReportTable, index: int) -> str:
    """Two cells: `!` failed, `∅` empty, `✓` right, `✗` wrong; `>` where it was cut at its length limit."""
    prediction = table.predictions[index]
    right = table.right[index] if index < len(table.right) else None
    if prediction.error:
        mark = "!"
    elif not prediction.predict.strip():
        mark = "∅"
    else:
        mark = " " if right is None else "✓" if right else "✗"
    return mark + (">" if prediction.finish_reason == "length" else " ")


class ColumnLayout:
    """Which columns there are room for."""

    def __init__(self, table: ReportTable, width: int, sorted_by: str = "") -> None:
        self.table, self.width = table, width
        self.digits = max(2, len(str(len(table.predictions))))
        used = self.digits + 8
        self.columns = self._columns(width - used, sorted_by)
        rest = max(8, width - used - sum(column.cells + 1 for column in self.columns))
        self.reference = min(40, (rest - 6) // 3) if width >= _WIDE else 0
        texts = rest - (self.reference + 2 if self.reference else 0)
        self.answer = min(max(8, texts * 2 // 5), 40)
        self.question = max(4, texts - self.answer - 2)

    def _columns(self, room: int, sorted_by: str) -> list[ScoreColumn]:
        """Metrics from the left as they fit; that by which the rows are sorted is always there."""
        shown = [column for column in self.table.columns if column.name not in (EXACT, "accuracy")]
        shown.sort(key=lambda column: _LIKENESS.index(column.name) if column.name in _LIKENESS else len(_LIKENESS))
        wanted = [column for column in shown if column.name == sorted_by]
        texts = _WIDE_TEXT_CELLS if self.width >= _WIDE else _TEXT_CELLS
        left = room - texts - sum(column.cells + 1 for column in wanted)
        for column in shown:
            if column in wanted:
                continue
            left -= column.cells + 1
            if left < 0:
                break
            wanted.append(column)
        return [column for column in shown if column in wanted]

    def heading(self, sorted_by: str, descending: bool) -> str:
        """The titles over the columns; an arrow at the one that the rows are sorted by."""
        arrow = "↓" if descending else "↑"
        scores = "".join(
            f"{arrow if column.name == sorted_by else ' '}{column.title:>{column.cells}}" for column in self.columns
        )
        first = f"{arrow if sorted_by == 'row' else ' '}{'#':>{self.digits}}   {arrow if sorted_by == EXACT else ' '}= "
        parts = [first + scores, " " + set_cell_size(_("question"), self.question)]
        pairs = any(prediction.compares for prediction in self.table.predictions[:1])
        parts.append("  " + set_cell_size(_("put first") if pairs else _("answer"), self.answer))
        if self.reference:
            parts.append("  " + set_cell_size(_("the better one") if pairs else _("reference"), self.reference))
        return "".join(parts)

    def line(self, index: int) -> RowLine:
        """A row."""
        table, prediction = self.table, self.table.predictions[index]
        verdict, noted = table.marks.get(index, ("", False))
        answer = prediction.error or prediction.predict
        right = index < len(table.right) and table.right[index]
        reference = set_cell_size("" if right else cut(prediction.label, self.reference), self.reference)
        return RowLine(
            number=f" {prediction.row + 1:>{self.digits}}",
            verdict=f" {VERDICT_MARKS.get(verdict, ' ')}{NOTE_MARK if noted else ' '}",
            state=f" {state_mark(table, index)}",
            scores="".join(f" {column.text(index):>{column.cells}}" for column in self.columns),
            question=" " + set_cell_size(cut(self.question_of(prediction.prompt), self.question), self.question),
            answer="  " + set_cell_size(cut(answer, self.answer), self.answer),
            reference="  " + reference if self.reference else "",
        )

    def question_of(self, prompt: str) -> str:
        """A prompt without what all of them have."""
        table = self.table
        end = len(prompt) - len(table.ending) if table.ending and prompt.endswith(table.ending) else len(prompt)
        start = len(table.opening) if table.opening and prompt.startswith(table.opening) else 0
        whole = question_text(prompt[:end])
        own = question_text(prompt[start:end])
        return f"…{own}" if own and own != whole and whole.endswith(own) else whole


def shared_ends(texts: Sequence[str], least: int = 8) -> tuple[str, str]:
    """What all of some texts begin and end with, where that is worth hiding: whole words of at least so many
    characters."""
    if len(texts) < 2:
        return "", ""
    opening = _shared(texts)
    ending = _shared([text[::-1] for text in texts])[::-1]
    if any(len(opening) + len(ending) >= len(text) for text in texts):
        return "", ""
    return opening if len(opening) >= least else "", ending if len(ending) >= least else ""


def _shared(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    end = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:end]
