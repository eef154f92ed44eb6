"""Answers in groups: by the reference, where references are classes, and by what is wrong with an answer.

The kind of an error is told from the texts alone, by rules that one can follow by eye; the first that fits counts. It
says what an answer looks like, not why the model gave it.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from core.i18n import _
from core.report.prediction import Prediction
from core.report.rows import EXACT, OpenReport

ErrorKind: TypeAlias = Literal[
    "right", "failed", "empty", "truncated", "form", "order", "list", "number", "class", "longer", "shorter", "wrong"
]
KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[A-Za-z0-9_]+|\S")
_MOST_GROUPS = 200


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that have something in common."""

    name: str
    filter: str
    """What one types to see them."""
    rows: tuple[int, ...]
    means: Mapping[str, float]
    """Of the metrics over its rows."""
    kind: ErrorKind | None = None
    """Of groups by the kind of error."""

    def __len__(self) -> int:
        return len(self.rows)


def kind_text(kind: ErrorKind) -> str:
    """What a kind means, in words."""
    texts: dict[ErrorKind, str] = {
        "right": _("right"),
        "failed": _("no answer: an error"),
        "empty": _("empty"),
        "truncated": _("cut at the longest answer allowed"),
        "form": _("right but for blanks, case or punctuation"),
        "order": _("the right words in another order"),
        "list": _("a part of the list is right"),
        "number": _("only numbers differ"),
        "class": _("another class"),
        "longer": _("the right answer, and more"),
        "shorter": _("a part of the right answer"),
        "wrong": _("wrong"),
    }
    return texts[kind]


def error_kinds(opened: OpenReport) -> Sequence[ErrorKind]:
    """For each row what is wrong with its answer."""
    return opened.cached("kind", lambda: _kinds(opened))


def grouped_by_kind(opened: OpenReport, rows: Iterable[int] | None = None) -> list[Group]:
    """Groups by the kind of error, in the order of `KINDS`; those without rows are left out."""
    kinds = error_kinds(opened)
    found = _grouped(opened, rows, kinds)
    return [_group(opened, kind, f"kind={kind}", found[kind], kind) for kind in KINDS if kind in found]


def grouped_by_label(opened: OpenReport, rows: Iterable[int] | None = None) -> list[Group]:
    """Groups by the reference answer, the largest first, at most two hundred."""
    found = _grouped(opened, rows, opened.texts("label"))
    largest = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_GROUPS]
    return [_group(opened, label, f"label={quoted(label)}", numbers) for label, numbers in largest]


def are_classes(opened: OpenReport) -> bool:
    """Whether references repeat so much that groups by them tell something."""
    labels = opened.texts("label")
    return bool(labels) and 2 * len(set(labels)) <= len(labels)


def quoted(text: str) -> str:
    """A text as a filter takes it whole."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _grouped(opened: OpenReport, rows: Iterable[int] | None, keys: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in range(len(opened)) if rows is None else rows:
        found.setdefault(keys[row], []).append(row)
    return found


def _group(opened: OpenReport, name: str, shown: str, rows: Sequence[int], kind: ErrorKind | None = None) -> Group:
    means = {}
    for metric, column in opened.scores.items():
        values = [value for row in rows if (value := column[row]) is not None]
        if values:
            means[metric] = statistics.fmean(values)
    return Group(name, shown, tuple(rows), means, kind)


# --- kinds of errors --------------------------------------------------------------------------------------------


def _kinds(opened: OpenReport) -> list[ErrorKind]:
    separator = str(opened.report.config.get("list_separator") or "|")
    classes = Counter(opened.texts("label")) if are_classes(opened) else Counter[str]()
    exact = opened.scores[EXACT]
    told: dict[tuple[str, str], ErrorKind] = {}
    kinds: list[ErrorKind] = []
    for row, right in zip(opened.predictions, exact, strict=True):
        kind = _plain_kind(row, bool(right))
        if kind is None:
            pair = row.predict, row.label
            kind = told.get(pair) or told.setdefault(pair, _wrong_kind(*pair, separator, classes))
        kinds.append(kind)
    return kinds


def _plain_kind(row: Prediction, right: bool) -> ErrorKind | None:
    if row.error:
        return "failed"
    if right:
        return "right"
    if row.compares:  # two answers of somebody else: what they look like says nothing
        return "wrong"
    if not row.predict.strip():
        return "empty"
    return "truncated" if row.finish_reason == "length" else None


def _wrong_kind(predict: str, label: str, separator: str, classes: Mapping[str, int]) -> ErrorKind:
    if predict.strip() in classes and predict.strip() != label.strip():
        return "class"
    rules: Sequence[tuple[ErrorKind, Callable[[], bool]]] = (
        ("form", lambda: _form(predict) == _form(label)),
        ("list", lambda: _shares_items(predict, label, separator)),
        ("order", lambda: _words(predict) == _words(label)),
        ("number", lambda: _NUMBER.sub("0", predict) == _NUMBER.sub("0", label)),
        ("longer", lambda: bool(label.strip()) and label.strip() in predict),
        ("shorter", lambda: predict.strip() in label),
    )
    return next((kind for kind, fits in rules if fits()), "wrong")


def _form(text: str) -> str:
    """Letters, digits and signs that mean something, without blanks, case, width and punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] not in "ZPC")


def _words(text: str) -> list[str]:
    return sorted(_WORD.findall(text.casefold()))


def _shares_items(predict: str, label: str, separator: str) -> bool:
    if separator not in label:
        return False
    wanted = {item.strip() for item in label.split(separator)}
    return bool(wanted & {item.strip() for item in predict.split(separator)} - {""})
