"""One question and what each model answered, side by side where there is room: what an answer has too much is
underlined, and the reference stands above them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from core.metrics.shown import number_text
from core.report.compare import Comparison
from core.report.difference import difference
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.rows import EXACT
from core.untrusted import inert, inert_line
from tui.widgets.content_layout import beside, fitted, wrapped
from tui.widgets.diff_view import answer_content

_RULE = 3
_NARROWEST = 24
"""Cells that a column needs; below that, answers stand under one another."""
_LONGEST = 20_000


class ComparisonSheet(VerticalScroll, can_focus=True):
    """Shows a row of a comparison."""

    DEFAULT_CSS = """
    ComparisonSheet { padding: 0 1; scrollbar-size-vertical: 1; background: $surface; }
    ComparisonSheet Static { width: 100%; height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._compared: Comparison | None = None
        self._at: int | None = None
        self._by = ""

    def compose(self) -> list[Static]:
        return [Static(Content(""))]

    def show(self, compared: Comparison | None, at: int | None, by: str) -> None:
        """Show a common row; another one from its beginning."""
        if (compared, at) != (self._compared, self._at):
            self.scroll_to(y=0, animate=False, immediate=True)
        self._compared, self._at, self._by = compared, at, by
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        text = Content(_("no row"))
        if self._compared is not None and self._at is not None:
            text = sheet_content(self._compared, self._at, self._by, max(20, self.size.width - 3))
        self.query_one(Static).update(text)


def sheet_content(compared: Comparison, at: int, by: str, width: int) -> Content:
    """The lines of a row."""
    predictions = compared.predictions(at)
    first = predictions[0]
    asked = _title(_("question"), "$text-primary", f"#{first.row + 1}", inert_line(first.id))
    lines = [asked, *wrapped(Content(inert(question_text(first.prompt)[:_LONGEST])), width), Content("")]
    lines += [
        _title(_("reference"), "$text-secondary"),
        *wrapped(Content(inert(first.label[:_LONGEST])), width),
        Content(""),
    ]
    answers = [_answer(compared, at, number, by) for number in range(len(predictions))]
    room = (width - _RULE * (len(answers) - 1)) // len(answers)
    if room < _NARROWEST:
        for title, text in answers:
            lines += [title, *wrapped(text, width), Content("")]
    else:
        lines += _columns([[fitted(title, room), *wrapped(text, room)] for title, text in answers], room)
    return Content("\n").join(lines)


def _plain(text: str, width: int) -> list[Content]:
    return wrapped(Content(inert(text[:_LONGEST])), width)


def _columns(columns: Sequence[list[Content]], room: int) -> list[Content]:
    joined, width = columns[0], room
    for column in columns[1:]:
        joined = beside(joined, column, width)
        width += _RULE + room
    return joined


def _answer(compared: Comparison, at: int, number: int, by: str) -> tuple[Content, Content]:
    """A model's title and its answer."""
    prediction = compared.predictions(at)[number]
    value = compared.columns[by][number][at]
    right = prediction.is_right and not prediction.error
    mark, style = ("✓", "$text-success") if right else ("✗", "$text-error")
    facts = [number_text(value, by)] if value is not None and by != EXACT else []
    if prediction.chosen is not None and prediction.rejected is not None:
        facts.append(
            _("scores {better:.4g} and {worse:.4g}").format(better=prediction.chosen, worse=prediction.rejected)
        )
    if prediction.finish_reason == "length":
        facts.append(_("cut off"))
    return _title(f"{mark} {inert_line(compared.names[number])}", style, *facts), _text(prediction)


def _text(prediction: Prediction) -> Content:
    if prediction.error:
        return Content.styled(inert(prediction.error), "$text-error")
    if not prediction.predict.strip():
        return Content.styled(_("(empty)"), "$text-warning")
    return answer_content(difference(prediction.label[:_LONGEST], prediction.predict[:_LONGEST]))


def _title(text: str, style: str, *more: str) -> Content:
    told = " · ".join(filter(None, more))
    return Content.assemble((f"▎{text}", f"bold {style}"), ("  " + told if told else "", "$muted"))
