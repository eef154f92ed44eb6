"""How near an answer comes to its reference: by words, by characters."""

from __future__ import annotations

from collections import Counter

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair
from core.metrics.sequences import edit_distance
from core.metrics.words import folded_words

_MOST = 10**10
"""Characters times characters, three seconds' worth: whatever is longer is no answer, but a loop or a whole book."""


def token_f1(predict: str, label: str) -> float:
    """From 0 to 1: F1 over words, each as often as both have it (SQuAD's, with jieba's words). No words in both: 1."""
    said, held = Counter(folded_words(predict)), Counter(folded_words(label))
    if not said or not held:
        return float(said == held)
    return 2 * (said & held).total() / (said.total() + held.total())


def edit_similarity(predict: str, label: str) -> float:
    """From 0 to 1: the share of the longer text that need not be edited (1 - Levenshtein / longer). Both empty: 1."""
    if predict == label:
        return 1.0
    return 1 - edit_distance(predict, label) / max(len(predict), len(label))


def _token_f1(pair: Pair, _measuring: Measuring) -> float:
    return 100 * token_f1(pair.predict, pair.label)


def _edit_similarity(pair: Pair, _measuring: Measuring) -> float | None:
    if len(pair.predict) * len(pair.label) > _MOST:
        return None
    return 100 * edit_similarity(pair.predict, pair.label)


TOKEN_F1 = Metric(
    "token_f1", "token F1", _("Words that answer and reference share, without regard to order (F1)."), of_row=_token_f1
)
EDIT_SIMILARITY = Metric(
    "edit_similarity",
    _("edit sim."),
    _("The share of the characters that need not be edited to make the answer the reference."),
    of_row=_edit_similarity,
)
