"""How long answers are, and how varied: what shows an empty, a cut or a stuck model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair
from core.metrics.words import folded_words


def _ratio(pair: Pair, _measuring: Measuring) -> float | None:
    return len(pair.predict) / len(pair.label) if pair.label else None


def _empty(pair: Pair, _measuring: Measuring) -> float:
    return 0.0 if pair.predict.strip() else 100.0


def _truncated(pair: Pair, _measuring: Measuring) -> float | None:
    return 100.0 * (pair.finish_reason == "length") if pair.finish_reason else None


def _distinct(order: int) -> Callable[[Sequence[Pair], Measuring], float | None]:
    def of_set(pairs: Sequence[Pair], _measuring: Measuring) -> float | None:
        seen, count = set[tuple[str, ...]](), 0
        for pair in pairs:
            words = folded_words(pair.predict)
            seen.update(words[at : at + order] for at in range(len(words) - order + 1))
            count += max(0, len(words) - order + 1)
        return 100 * len(seen) / count if count else None

    return of_set


LENGTH_RATIO = Metric(
    "length_ratio",
    _("length"),
    _("The answer's characters for each of the reference's; 1 is as long."),
    unit="number",
    better="",
    of_row=_ratio,
)
EMPTY = Metric("empty", _("empty"), _("Answers with nothing but blanks."), better="lower", of_row=_empty)
TRUNCATED = Metric(
    "truncated",
    _("truncated"),
    _("Answers that were cut at max_new_tokens, of those where it is known."),
    better="lower",
    of_row=_truncated,
)
DISTINCT_1 = Metric(
    "distinct-1",
    "distinct-1",
    _("Different words among all words of all answers (Li et al. 2016); larger sets have fewer."),
    better="",
    of_set=_distinct(1),
)
DISTINCT_2 = Metric(
    "distinct-2",
    "distinct-2",
    _("Different pairs of neighbouring words among all of all answers."),
    better="",
    of_set=_distinct(2),
)
