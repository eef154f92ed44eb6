"""Answers that are classes: how many are right, how each class fares, what was said for what.

The data decide whether there are classes, as they do for data sets (`core.data.statistics`): labels that repeat, else
the beginnings of labels before a number (取消方式_68 is of the class 取消方式). A prediction belongs to the class that
it equals without regard to case, width and punctuation; one that equals none is of the class with the empty name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.data.statistics import ClassesBy, class_name, class_of_each
from core.i18n import _
from core.metrics.exact import normalised
from core.metrics.metric import ClassScore, Confusion, Measuring, Metric, Pair, Sums, questions_of

_MOST = 50


@dataclass(frozen=True, slots=True)
class Classified:
    """The classes of some rows."""

    by: ClassesBy
    names: tuple[str, ...]
    """The most frequent first."""
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    """For each row; empty where it is none of them."""


def classified(pairs: Sequence[Pair]) -> Classified | None:
    """The classes of the rows, or None where their labels are none: too few, too many, or hardly repeated.

    A label repeats where several questions have it, not where one is asked several times.
    """
    asked = tuple(pair.label for pair in questions_of(pairs))
    return _classified(asked, tuple(pair.label for pair in pairs), tuple(pair.predict for pair in pairs))


@lru_cache(maxsize=2)
def _classified(asked: tuple[str, ...], labels: tuple[str, ...], predicts: tuple[str, ...]) -> Classified | None:
    by, _of_asked = class_of_each(asked)
    of_labels = [class_name(label, by) for label in labels]
    counts = Counter(of_labels)
    if by == "none" or not 2 <= len(counts) <= _MOST or not all(counts):
        return None
    names = tuple(name for name, _count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    known = {normalised(name): name for name in reversed(names)}
    predicted = tuple(known.get(normalised(class_name(text.strip(), by)), "") for text in predicts)
    return Classified(by, names, tuple(of_labels), predicted)


def confusion(pairs: Sequence[Pair]) -> Confusion | None:
    """What was said for what, and how each class fares; None where answers are no classes."""
    found = classified(pairs)
    if found is None:
        return None
    counts: dict[str, Counter[str]] = {name: Counter() for name in found.names}
    for label, predicted in zip(found.labels, found.predicted, strict=True):
        counts[label][predicted] += 1
    said = Counter(found.predicted)
    classes = (_class_score(name, counts[name].total(), said[name], counts[name][name]) for name in found.names)
    return Confusion(tuple(classes), {name: dict(row.most_common()) for name, row in counts.items()})


def _class_score(name: str, labels: int, predicted: int, right: int) -> ClassScore:
    return ClassScore(
        name=name,
        labels=labels,
        predicted=predicted,
        right=right,
        precision=100 * right / predicted if predicted else 0.0,
        recall=100 * right / labels,
        f1=200 * right / (labels + predicted),
    )


def _accuracy(pairs: Sequence[Pair], _measuring: Measuring) -> Sums | None:
    found = classified(pairs)
    if found is None:
        return None
    both = zip(found.labels, found.predicted, strict=True)
    return Sums([(float(label == predicted), 1.0) for label, predicted in both], lambda sums: 100 * sums[0] / sums[1])


def _macro_f1(pairs: Sequence[Pair], _measuring: Measuring) -> Sums | None:
    found = classified(pairs)
    if found is None:
        return None
    count = len(found.names)
    place = {name: at for at, name in enumerate(found.names)}
    each = []
    for label, predicted in zip(found.labels, found.predicted, strict=True):
        row = [0.0] * (2 * count)  # right of each class; then labels and predictions of each
        row[count + place[label]] += 1
        if predicted:
            row[count + place[predicted]] += 1
        if predicted == label:
            row[place[label]] += 1
        each.append(row)

    def value(sums: Sequence[float]) -> float:
        # a resample may lack a class, which then says nothing
        scores = [2 * sums[at] / sums[count + at] for at in range(count) if sums[count + at]]
        return 100 * sum(scores) / len(scores)

    return Sums(each, value)


LABEL_ACCURACY = Metric(
    "label_accuracy",
    _("accuracy"),
    _("Where answers are classes: answers of the label's class, without regard to case and punctuation."),
    of_sums=_accuracy,
)
MACRO_F1 = Metric(
    "macro_f1",
    "macro F1",
    _("Where answers are classes: the mean of the classes' F1, each class alike."),
    of_sums=_macro_f1,
)
