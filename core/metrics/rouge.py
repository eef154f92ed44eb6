"""ROUGE-1, -2 and -L over jieba's words, as LLaMA-Factory takes them from rouge-chinese: the `f` of each.

Sentences are cut and the f computed by rouge-chinese itself; its longest common subsequence is not, which takes 2.2 s
and 125 MB for answers of 1,000 words and gives the same number. N-grams are sets: what comes twice counts once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair
from core.metrics.sequences import common_length
from core.metrics.words import words

_MAY_CUT = frozenset("。！？?.…\n")


class Rouge(NamedTuple):
    """From 0 to 1."""

    one: float
    two: float
    longest: float


@functools.lru_cache(maxsize=64)
def rouge(predict: str, label: str) -> Rouge:
    """All three at once, kept for the metric that asks next; 0 where either side has no word."""
    said, held = _sentences_words(predict), _sentences_words(label)
    if not said or not held:
        return Rouge(0.0, 0.0, 0.0)
    pairs_said, pairs_held = set(pairwise(said)), set(pairwise(held))
    once_said, once_held = set(said), set(held)
    return Rouge(
        _f(len(once_said), len(once_held), len(once_said & once_held)),
        _f(len(pairs_said), len(pairs_held), len(pairs_said & pairs_held)),
        _f(len(said), len(held), common_length(said, held)),
    )


def _sentences_words(text: str) -> Sequence[str]:
    """The words of all sentences in one list; a blank line counts as one empty word, as it does there."""
    joined = " ".join(words(text))
    plain = joined.split()
    if not plain or _MAY_CUT.isdisjoint(joined):
        return plain
    sentences = [" ".join(sentence.split()) for sentence in _cut(joined) if sentence]
    return [word for sentence in sentences for word in sentence.split(" ")]


def _cut(text: str) -> list[str]:
    return _library()[0](text)


def _f(said: int, held: int, common: int) -> float:
    return _library()[1](said, held, common)["f"]


@functools.cache
def _library() -> tuple[Callable[[str], list[str]], Callable[[int, int, int], dict[str, float]]]:
    from rouge_chinese import Rouge as Library  # 10 ms
    from rouge_chinese.rouge_score import f_r_p_rouge_n

    return Library().cut_sent, f_r_p_rouge_n


def _one(pair: Pair, _measuring: Measuring) -> float:
    return 100 * rouge(pair.predict, pair.label).one


def _two(pair: Pair, _measuring: Measuring) -> float:
    return 100 * rouge(pair.predict, pair.label).two


def _longest(pair: Pair, _measuring: Measuring) -> float:
    return 100 * rouge(pair.predict, pair.label).longest


ROUGE_1 = Metric("rouge-1", "ROUGE-1", _("Words that answer and reference share (F1)."), of_row=_one)
ROUGE_2 = Metric("rouge-2", "ROUGE-2", _("Pairs of neighbouring words that they share (F1)."), of_row=_two)
ROUGE_L = Metric("rouge-l", "ROUGE-L", _("Words that come in the same order in both (F1)."), of_row=_longest)
