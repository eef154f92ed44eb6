"""Rows of a report on its page: the question, and reference and answer side by side with their differences."""

from __future__ import annotations

from collections.abc import Sequence

from core.i18n import _, plural
from core.report.difference import Kind, difference
from core.report.figures import heading, score_text, telling
from core.report.groups import error_kinds, kind_text
from core.report.page.markup import Html, folded, joined, tag
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.review import Verdict
from core.report.rows import OpenReport

_MOST_TEXT = 3_000
_MOST_QUESTION = 600


def verdict_text(verdict: Verdict) -> str:
    """A verdict as people read it."""
    texts: dict[Verdict, str] = {"": "", "good": _("good"), "bad": _("bad"), "unsure": _("unsure")}
    return texts[verdict]


def answers(opened: OpenReport, rows: Sequence[int]) -> Html:
    """Rows, one below the other."""
    return joined(*(_row(opened, row) for row in rows))


def _row(opened: OpenReport, row: int) -> Html:
    prediction = opened.predictions[row]
    review = opened.review.of(prediction)
    note = tag("p", "✎ ", review.note, class_="muted") if review.note else None
    return tag(
        "article",
        _head(opened, row),
        tag("div", cut(question_text(prediction.prompt), _MOST_QUESTION), class_="asked"),
        pair(prediction) if prediction.compares else sides(prediction.label, prediction.predict, prediction.error),
        tag("p", choice_text(prediction), class_="muted") if prediction.choice else None,
        note,
        folded(_("the whole prompt"), tag("pre", cut(prediction.prompt))) if prediction.prompt else None,
        folded(_("what it thought"), tag("pre", cut(prediction.thinking))) if prediction.thinking else None,
        class_="row",
    )


def choice_text(prediction: Prediction) -> str:
    """How likely the model found each letter of a multiple choice: `A 75.0 %, B 25.0 %`."""
    likely = sorted((prediction.choice or {}).items(), key=lambda item: -item[1])
    return ", ".join(f"{letter} {100 * share:.1f} %" for letter, share in likely)


def _head(opened: OpenReport, row: int) -> Html:
    prediction = opened.predictions[row]
    kind = error_kinds(opened)[row]
    verdict = opened.review.of(prediction).verdict
    times = _("answer {n}").format(n=prediction.repeat + 1) if opened.report.repeats > 1 else ""
    shown = telling(name for name in opened.scores if opened.scores[name][row] is not None)
    scores = [f"{heading(name)} {score_text(opened.scores[name][row], name)}" for name in shown]
    tokens = plural("{count} token", "{count} tokens", prediction.tokens) if prediction.tokens else ""
    return tag(
        "header",
        tag("span", f"#{prediction.row + 1}", class_="number"),
        tag("span", kind_text(kind), class_="tag right" if kind == "right" else "tag wrong"),
        tag("span", _("verdict: {verdict}").format(verdict=verdict_text(verdict)), class_="tag") if verdict else None,
        tag("span", " · ".join(filter(None, (*scores, tokens, times, prediction.id))), class_="score"),
    )


def sides(reference: str, answer: str, error: str = "") -> Html:
    """Reference and answer side by side, each with what the other lacks."""
    if error:
        return tag("div", side(_("reference"), cut(reference)), side(_("no answer"), cut(error)), class_="sides")
    pieces = difference(reference[:_MOST_TEXT], answer[:_MOST_TEXT])
    left = [piece(each.kind, each.text) for each in pieces if each.kind != "added"]
    right = [piece(each.kind, each.text) for each in pieces if each.kind != "removed"]
    return tag(
        "div",
        side(_("reference"), *left, _more(reference)),
        side(_("answer"), *right, _more(answer)),
        class_="sides",
    )


def pair(prediction: Prediction) -> Html:
    """Two answers side by side, with what a reward model gives each."""
    if prediction.error:
        return tag("div", side(_("no scores"), cut(prediction.error)), class_="sides")
    titles = [
        f"{name} · {score_text(score, metric)}"
        for name, score, metric in (
            (_("better answer"), prediction.chosen, "chosen_reward"),
            (_("worse answer"), prediction.rejected, "rejected_reward"),
        )
    ]
    both = zip(titles, (prediction.label, prediction.worse), strict=True)
    return tag("div", *(side(title, cut(text)) for title, text in both), class_="sides")


def side(name: str, *parts: str | Html | None) -> Html:
    """A text under its name."""
    shown = [part for part in parts if part]
    inside = shown or [tag("span", _("empty"), class_="none")]
    return tag("div", tag("div", name, class_="name"), tag("div", *inside), class_="side")


def piece(kind: Kind, text: str) -> str | Html:
    """A stretch of a difference, marked by more than colour."""
    return text if kind == "same" else tag("del" if kind == "removed" else "ins", text)


def cut(text: str, most: int = _MOST_TEXT) -> Html:
    """The beginning of a long text, and how much is left out."""
    return joined(text[:most], _more(text, most))


def _more(text: str, most: int = _MOST_TEXT) -> Html | None:
    left = len(text) - most
    told = plural(" … {count} more character", " … {count} more characters", left) if left > 0 else ""
    return tag("span", told, class_="none") if told else None
