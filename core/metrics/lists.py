"""Answers that are lists, as `a|b|c`: which items they have, in whatever order. One item alone is a list too."""

from __future__ import annotations

import functools
from collections import Counter
from typing import NamedTuple

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair


class Found(NamedTuple):
    """From 0 to 1."""

    precision: float
    recall: float
    f1: float


@functools.lru_cache(maxsize=16)
def items_found(predict: str, label: str, separator: str) -> Found:
    """The items that both lists have, each as often as both have it; blanks around items do not count."""
    said, held = _items(predict, separator), _items(label, separator)
    if not said or not held:
        return Found(*(float(said == held),) * 3)
    both = (said & held).total()
    return Found(both / said.total(), both / held.total(), 2 * both / (said.total() + held.total()))


def _items(text: str, separator: str) -> Counter[str]:
    return Counter(item for part in text.split(separator) if (item := part.strip()))


def _precision(pair: Pair, measuring: Measuring) -> float:
    return 100 * items_found(pair.predict, pair.label, measuring.list_separator).precision


def _recall(pair: Pair, measuring: Measuring) -> float:
    return 100 * items_found(pair.predict, pair.label, measuring.list_separator).recall


def _f1(pair: Pair, measuring: Measuring) -> float:
    return 100 * items_found(pair.predict, pair.label, measuring.list_separator).f1


LIST_PRECISION = Metric(
    "list_precision", _("list prec."), _("Of an answer's items, those that the label has."), of_row=_precision
)
LIST_RECALL = Metric(
    "list_recall", _("list recall"), _("Of a label's items, those that the answer has."), of_row=_recall
)
LIST_F1 = Metric("list_f1", _("list F1"), _("Precision and recall of the items together."), of_row=_f1)
