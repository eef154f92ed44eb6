"""Which rows are shown: a line of words that all have to hold.

    wrong -truncated bleu<20 len>512 text:流量包 label="生效时间_132"

A word is a mark (`wrong`, `empty`, `good`), a comparison of a number (`rouge-l>=50`), a text that is contained
(`predict:谢谢`), or one that is equal (`label="…"`, `kind=number`). `-` in front turns a word round. What has no number
fits no comparison. A mistake is told with its place and the nearest name.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import UsageError, did_you_mean
from core.i18n import _
from core.report.groups import KINDS, error_kinds, quoted
from core.report.prediction import Prediction
from core.report.review import VERDICTS, Review, Verdict
from core.report.rows import EXACT, NUMBER_COLUMNS, TEXT_COLUMNS, OpenReport
from core.untrusted import inert_line

_Test: TypeAlias = Callable[[OpenReport, Sequence[int]], list[int]]

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_EVERYWHERE = "text"
_SEARCHED = ("prompt", "label", "predict", "worse")
_EQUAL = ("kind", "verdict")
_ALIASES = {
    "bleu": "bleu-4",
    "rouge": "rouge-l",
    "exact": EXACT,
    "f1": "token_f1",
    "length": "len",
    "reference": "label",
    "answer": "predict",
    "prediction": "predict",
    "question": "prompt",
}

_WORD = re.compile(r'-?(?:[^\s"]|"(?:\\.|[^"\\])*")+|"')
_TERM = re.compile(r"(?P<name>[^\s<>=!:\"]+)(?P<sign><=|>=|!=|<|>|=|:)(?P<value>.*)", re.DOTALL)


# --- marks --------------------------------------------------------------------------------------------------------


def _of_exact(wanted: bool) -> _Test:
    return lambda report, rows: [row for row in rows if bool(report.scores[EXACT][row]) == wanted]


def _of_row(holds: Callable[[Prediction], bool]) -> _Test:
    return lambda report, rows: [row for row in rows if holds(report.predictions[row])]


def _of_review(holds: Callable[[Review], bool]) -> _Test:
    return lambda report, rows: [row for row in rows if holds(report.review.of(report.predictions[row]))]


def _of_verdict(verdict: Verdict) -> _Test:
    return _of_review(lambda review: review.verdict == verdict)


_FLAGS: Mapping[str, _Test] = {
    "wrong": _of_exact(False),
    "right": _of_exact(True),
    "empty": _of_row(lambda row: not row.error and not row.predict.strip()),
    "truncated": _of_row(lambda row: row.finish_reason == "length"),
    "failed": _of_row(lambda row: bool(row.error)),
    "reviewed": _of_review(lambda review: bool(review.time)),
    "noted": _of_review(lambda review: bool(review.note)),
    **{verdict: _of_verdict(verdict) for verdict in VERDICTS},
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood."""

    text: str
    tests: tuple[_Test, ...]

    def __call__(self, opened: OpenReport, rows: Sequence[int] | None = None) -> list[int]:
        """The numbers of those rows that fit, in their order."""
        left = list(range(len(opened)) if rows is None else rows)
        for test in self.tests:
            left = test(opened, left)
        return left


def filter_rows(opened: OpenReport, text: str) -> list[int]:
    """The numbers of the rows that fit a filter, in the data's order.

    Raises:
        UsageError: the filter cannot be understood: what, at which character, and the nearest name.
    """
    return parse_filter(text, opened.numbers)(opened)


def parse_filter(text: str, numbers: Collection[str] = NUMBER_COLUMNS) -> Filter:
    """Understand a filter.

    Args:
        numbers: the columns of numbers that there are.
    """
    return Filter(text, tuple(_parsed(word, at, numbers) for word, at in _words(text)))


def filter_names(numbers: Collection[str] = NUMBER_COLUMNS) -> list[str]:
    """Every word that a filter can begin with: for completion and for messages."""
    texts = [f"{name}:" for name in (_EVERYWHERE, *TEXT_COLUMNS, "note")]
    return [*_FLAGS, *numbers, *texts, *(f"{name}=" for name in _EQUAL)]


def _words(text: str) -> list[tuple[str, int]]:
    words = [(match.group(), match.start()) for match in _WORD.finditer(text)]
    for word, at in words:
        if word == '"':
            raise _mistake(at, _("the quote is not closed"), _('write: text:"two words"'))
    return words


def _parsed(word: str, at: int, numbers: Collection[str]) -> _Test:
    if word.startswith("-") and len(word) > 1:
        return _negated(_parsed(word[1:], at + 1, numbers))
    if word.startswith('"'):
        return _containing(_EVERYWHERE, _value(word))
    if word in _FLAGS:
        return _FLAGS[word]
    match = _TERM.fullmatch(word)
    if match is None:
        hint = did_you_mean(word, filter_names(numbers)) or _("to search for it: text:{word}").format(word=word)
        raise _mistake(at, _("{word!r} means nothing").format(word=inert_line(word)), hint)
    name, sign = match["name"], match["sign"]
    name, value, value_at = _known(name, at, numbers), match["value"], at + match.start("value")
    if name in numbers and sign != ":":
        return _comparing(name, sign, _number(value, value_at))
    if name in numbers:
        hint = _("write: {name}<20").format(name=name)
        raise _mistake(at, _("{name} is a number").format(name=name), hint)
    if name in _EQUAL or sign in ("=", "!="):
        return _equal(name, sign, _value(value), value_at)
    if sign != ":":
        raise _mistake(at, _("{name} is a text").format(name=name), _("write: {name}:word").format(name=name))
    return _containing(name, _value(value))


def _known(name: str, at: int, numbers: Collection[str]) -> str:
    """The column that a name means: itself, another word for it, or what it alone begins."""
    texts = (_EVERYWHERE, "note", *_EQUAL, *TEXT_COLUMNS)
    names = {*numbers, *texts}
    spelt = name.casefold()
    for candidate in (spelt, _ALIASES.get(spelt, ""), spelt.replace("_", "-"), spelt.replace("-", "_")):
        if candidate in names:
            return candidate
    beginning = [known for known in names if known.startswith(spelt)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        hint = _("it could be: {names}").format(names=", ".join(sorted(beginning)))
    else:
        known = [*numbers, *texts]
        hint = did_you_mean(spelt, known) or _("there are: {names}").format(names=", ".join(known))
    raise _mistake(at, _("there is no column {name!r}").format(name=inert_line(name)), hint)


def _number(text: str, at: int) -> float:
    try:
        number = float(text.removesuffix("%"))
        if math.isfinite(number):
            return number
    except ValueError:
        pass
    what = _("{text!r} is no number").format(text=inert_line(text)) if text else _("the number is missing")
    raise _mistake(at, what, _("write: bleu-4<20"))


def _value(text: str) -> str:
    """A text without its quotes."""
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), text[1:-1])
    return text


def _negated(test: _Test) -> _Test:
    def others(report: OpenReport, rows: Sequence[int]) -> list[int]:
        fitting = set(test(report, rows))
        return [row for row in rows if row not in fitting]

    return others


def _comparing(name: str, sign: str, number: float) -> _Test:
    holds = _OPERATORS[sign]

    def compared(report: OpenReport, rows: Sequence[int]) -> list[int]:
        values = report.values(name)
        return [row for row in rows if (value := values[row]) is not None and holds(value, number)]

    return compared


def _containing(name: str, text: str) -> _Test:
    wanted = text.casefold()

    def containing(report: OpenReport, rows: Sequence[int]) -> list[int]:
        if name == "note":
            return _of_review(lambda review: wanted in review.note.casefold())(report, rows)
        if name != _EVERYWHERE:
            texts = report.folded(name)
            return [row for row in rows if wanted in texts[row]]
        texts_of = [report.folded(each) for each in _SEARCHED]
        return [row for row in rows if any(wanted in texts[row] for texts in texts_of)]

    return containing


def _equal(name: str, sign: str, text: str, at: int) -> _Test:
    known = {"kind": KINDS, "verdict": VERDICTS}.get(name)
    if known is not None and text not in known:
        hint = did_you_mean(text, known) or _("there are: {names}").format(names=", ".join(known))
        raise _mistake(at, _("there is no {name} {text!r}").format(name=name, text=inert_line(text)), hint)
    if name == _EVERYWHERE:
        raise _mistake(
            at, _("text is question, reference and answer together"), _("write: text:{text}").format(text=quoted(text))
        )

    def equal(report: OpenReport, rows: Sequence[int]) -> list[int]:
        if name in ("verdict", "note"):
            return _of_review(lambda review: getattr(review, name) == text)(report, rows)
        column = error_kinds(report) if name == "kind" else report.texts(name)
        return [row for row in rows if column[row] == text]

    return _negated(equal) if sign == "!=" else equal


def _mistake(at: int, what: str, hint: str) -> UsageError:
    return UsageError(_("filter, character {at}: {what}").format(at=at + 1, what=what), hint)
