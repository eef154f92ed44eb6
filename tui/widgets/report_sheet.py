"""One answer in full, as lines for a width: the question, reference and answer side by side, and all that is known.

What is long is folded: of the prompt the last turn is shown, thinking is one line, until they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from core.i18n import _, plural
from core.report.difference import Piece
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.untrusted import inert, inert_line
from tui.widgets.content_layout import beside, column_width, fitted, wrapped
from tui.widgets.diff_view import answer_content, legend, one_text, reference_content
from tui.widgets.report_columns import VERDICT_MARKS
from tui.widgets.set_pages import bar

SIDE_BY_SIDE = 96
"""Cells from which reference and answer stand beside one another."""
LONGEST = 20_000
"""Characters of a text that are shown and compared."""
_BAR = 24
_FINISHES: Mapping[str, str] = {
    "stop": "",
    "length": _("cut at max_new_tokens"),
    "stopped": _("stopped"),
    "error": _("ended by an error"),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A row as the sheet shows it."""

    prediction: Prediction
    pieces: Sequence[Piece]
    """From the reference to the answer."""
    alike: bool = True
    """Whether so much is shared that marks on the rest tell something."""
    right: bool | None = None
    scores: Sequence[tuple[str, str]] = ()
    """Titles and values."""
    verdict: str = ""
    note: str = ""
    turns: Sequence[tuple[str, str]] = ()
    """Who said what before the answer, where the row was found in its data set."""
    others: Sequence[tuple[Prediction, bool | None]] = ()
    """The other answers to the same question."""
    unfolded: bool = False
    """The whole prompt and the thinking."""
    together: bool = False
    """Reference and answer as one text."""


def sheet_content(sheet: Sheet, width: int) -> Content:
    """The lines of a sheet."""
    lines = [*_judged(sheet, width), *_question(sheet, width), *_answer(sheet, width), *_scores(sheet, width)]
    if sheet.prediction.choice:
        lines += [Content(""), *_choice(sheet.prediction.choice, sheet.prediction.label)]
    if sheet.others:
        lines += _others(sheet, width)
    return Content("\n").join(lines)


def _title(text: str, style: str, *more: str) -> Content:
    return Content.assemble((f"▎{text}", f"bold {style}"), ("  " + " · ".join(more) if more else "", "$muted"))


def _judged(sheet: Sheet, width: int) -> list[Content]:
    """What a person said of it."""
    if not sheet.verdict and not sheet.note:
        return []
    words = {"good": _("good"), "bad": _("bad"), "unsure": _("unsure")}
    said = f"{VERDICT_MARKS.get(sheet.verdict, '')} {words.get(sheet.verdict, '')}".strip()
    note = Content.assemble((said, "bold $text-accent"), "  " if said else "", inert_line(sheet.note))
    return [*wrapped(note, width), Content("")]


def _question(sheet: Sheet, width: int) -> list[Content]:
    prediction = sheet.prediction
    tokens = plural("{count} token", "{count} tokens", prediction.prompt_tokens) if prediction.prompt_tokens else ""
    dropped = prediction.dropped_turns
    left = plural("{count} old message left out", "{count} old messages left out", dropped) if dropped else ""
    if sheet.unfolded:
        facts = filter(None, (_("as the model read it"), tokens, left, _("t folds")))
        return [_title(_("prompt"), "$text-primary", *facts), *_text(prediction.prompt, width), Content("")]
    earlier = len(sheet.turns) - 1
    more = plural("{count} message before it", "{count} messages before it", earlier) if earlier > 0 else ""
    facts = filter(None, (more, tokens, left, _("t: all of it") if prediction.prompt else ""))
    asked = sheet.turns[-1][1] if sheet.turns else question_text(prediction.prompt)
    return [_title(_("question"), "$text-primary", *facts), *_text(asked, width), Content("")]


def _text(text: str, width: int, style: str = "") -> list[Content]:
    shown = inert(text[:LONGEST])
    rows = wrapped(Content.styled(shown, style) if style else Content(shown), width)
    if len(text) > LONGEST:
        more = _("… {count:,} more characters").format(count=len(text) - LONGEST)
        rows.append(Content.styled(more, "$muted"))
    return rows


def _answer(sheet: Sheet, width: int) -> list[Content]:
    prediction = sheet.prediction
    lines = _thinking(sheet, width)
    if prediction.error:
        told = Content.styled(inert(prediction.error), "$text-error")
        lines += [_title(_("no answer"), "$text-error"), *wrapped(told, width), Content("")]
        return [*lines, _title(_("reference"), "$text-secondary"), *_text(prediction.label, width), Content("")]
    if prediction.chosen is not None and prediction.rejected is not None:
        return [*lines, *_compared(sheet, prediction.chosen, prediction.rejected, width), Content("")]
    reference = _title(_("reference"), "$text-secondary", *_lengths(prediction.label, prediction.label_tokens))
    answer = _title(_("answer"), _answer_style(sheet.right), *_answer_facts(sheet))
    if sheet.together:
        lines += [_title(_("reference and answer in one"), "$text-accent", *_answer_facts(sheet))]
        lines += wrapped(one_text(sheet.pieces), width)
    elif width >= SIDE_BY_SIDE:
        room = column_width(width)
        left = [*_fit(reference, room), *wrapped(_reference(sheet), room)]
        right = [*_fit(answer, room), *wrapped(_given(sheet), room)]
        lines += beside(left, right, room)
    else:
        lines += [*_fit(reference, width), *wrapped(_reference(sheet), width), Content("")]
        lines += [*_fit(answer, width), *wrapped(_given(sheet), width)]
    return [*lines, *_legend(sheet, width), Content("")]


def _compared(sheet: Sheet, chosen: float, rejected: float, width: int) -> list[Content]:
    """Two answers and what a reward model gives each; the one that it puts first is marked."""
    prediction = sheet.prediction
    ahead = (_("← ahead"), "") if chosen > rejected else ("", _("← ahead") if rejected > chosen else "")
    style = _answer_style(sheet.right)
    answers = []
    for title, score, text, mark in (
        (_("better answer"), chosen, prediction.label, ahead[0]),
        (_("worse answer"), rejected, prediction.worse, ahead[1]),
    ):
        facts = filter(None, (f"{score:.4g}", mark, *_lengths(text, 0)))
        answers.append((_title(title, style if mark else "$text-secondary", *facts), text))
    right = _("✓ the better one is ahead") if sheet.right else _("✗ the better one is not ahead")
    margin = _("margin {margin:.4g}").format(margin=chosen - rejected)
    lines = [_title(right, style, margin), Content("")]
    if width >= SIDE_BY_SIDE:
        room = column_width(width)
        left, other = ([*_fit(head, room), *_text(text, room)] for head, text in answers)
        return [*lines, *beside(left, other, room)]
    for head, text in answers:
        lines += [*_fit(head, width), *_text(text, width), Content("")]
    return lines


def _reference(sheet: Sheet) -> Content:
    return reference_content(sheet.pieces) if sheet.alike else Content(inert(sheet.prediction.label[:LONGEST]))


def _given(sheet: Sheet) -> Content:
    text = sheet.prediction.predict
    content = answer_content(sheet.pieces) if sheet.alike else Content(inert(text[:LONGEST]))
    if not text.strip():
        return Content.styled(_("(empty)"), "$text-warning")
    if len(text) > LONGEST:
        more = _("… {count:,} more characters").format(count=len(text) - LONGEST)
        return Content.assemble(content, "\n", (more, "$muted"))
    return content


def _legend(sheet: Sheet, width: int) -> list[Content]:
    """What the marks mean, or why there are none."""
    if sheet.together or not sheet.prediction.predict.strip() or all(p.kind == "same" for p in sheet.pieces):
        return []
    told = legend() if sheet.alike else Content.styled(_("They differ too much for marks."), "$muted")
    return [Content(""), *wrapped(told, width)]


def _fit(title: Content, width: int) -> list[Content]:
    return [fitted(title, width)]


def _thinking(sheet: Sheet, width: int) -> list[Content]:
    thinking = sheet.prediction.thinking
    if not thinking:
        return []
    if sheet.unfolded:
        return [_title(_("thinking"), "$muted", _("t folds")), *_text(thinking, width, "$muted"), Content("")]
    count = _("{count:,} characters").format(count=len(thinking))
    return [_title(_("thinking"), "$muted", count, _("t: all of it")), Content("")]


def _answer_style(right: bool | None) -> str:
    return "$text-accent" if right is None else "$text-success" if right else "$text-error"


def _lengths(text: str, tokens: int) -> list[str]:
    facts = [plural("{count} character", "{count} characters", len(text))]
    return [*facts, plural("{count} token", "{count} tokens", tokens)] if tokens else facts


def _answer_facts(sheet: Sheet) -> list[str]:
    prediction = sheet.prediction
    right = "" if sheet.right is None else _("✓ equal") if sheet.right else _("✗ not equal")
    finish = _FINISHES.get(prediction.finish_reason or "", prediction.finish_reason or "")
    return list(filter(None, (right, finish, *_lengths(prediction.predict, prediction.tokens))))


def _scores(sheet: Sheet, width: int) -> list[Content]:
    pairs = list(sheet.scores)
    prediction = sheet.prediction
    if prediction.loss is not None:
        pairs.append((_("loss"), f"{prediction.loss:.4g}"))
    if prediction.reward is not None:
        pairs.append((_("reward"), f"{prediction.reward:.4g}"))
    if not pairs:
        return []
    parts = [Content.assemble((f"{title} ", "$muted"), (value, "bold")) for title, value in pairs]
    return wrapped(Content("   ").join(parts), width)


def _choice(probabilities: Mapping[str, float], label: str) -> list[Content]:
    most = max(probabilities.values(), default=1.0) or 1.0
    lines = [_title(_("probabilities"), "$text-primary")]
    for letter, share in probabilities.items():
        mark = _("← reference") if letter == label.strip() else ""
        drawn = (bar(share / most, _BAR), "$primary")
        lines.append(Content.assemble((f"{inert_line(letter)} ", "bold"), drawn, f" {share:7.2%} ", (mark, "$muted")))
    return lines


def _others(sheet: Sheet, width: int) -> list[Content]:
    """The other answers to this question, where it was asked several times."""
    title = plural("{count} other answer", "{count} other answers", len(sheet.others))
    lines = [Content(""), _title(title, "$text-primary")]
    for prediction, right in sheet.others:
        mark = "!" if prediction.error else " " if right is None else "✓" if right else "✗"
        number = _("answer {n}").format(n=prediction.repeat + 1)
        lines.append(Content.assemble((f"{mark} {number}", f"bold {_answer_style(right)}")))
        lines += _text(prediction.error or prediction.predict or _("(empty)"), width)
    return lines
