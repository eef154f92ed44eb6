"""Which rows of which sets make up the training rows, and in which order: as LLaMA-Factory mixes them, seeded.

Sets are numbered one after another; what is made here are numbers in that joined numbering. A plain joining needs none.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain

from core.errors import DataError
from core.i18n import _


def sampled(numbers: Sequence[int], count: int, seed: int) -> Sequence[int]:
    """So many of the numbers, drawn without replacement; when there are fewer, all of them and some again."""
    draw = random.Random(seed)
    drawn = draw.sample(numbers, min(count, len(numbers)))
    return array("q", chain(drawn, draw.choices(numbers, k=count - len(drawn)) if count > len(drawn) else ()))


def interleaved(lengths: Sequence[int], probabilities: Sequence[float], until_all: bool, seed: int) -> Sequence[int]:
    """Rows of all sets by turns, or drawn by their probabilities, until the first or every set is used up.

    A set that is used up before the end begins again.
    """
    if not all(lengths):
        return array("q")
    offsets = [0, *accumulate(lengths)]
    if not probabilities:
        turns = max(lengths) if until_all else min(lengths)
        pairs = list(zip(offsets, lengths, strict=False))
        return array("q", (offset + turn % length for turn in range(turns) for offset, length in pairs))
    return _drawn(offsets, lengths, probabilities, until_all, random.Random(seed))


def _drawn(
    offsets: Sequence[int],
    lengths: Sequence[int],
    probabilities: Sequence[float],
    until_all: bool,
    draw: random.Random,
) -> Sequence[int]:
    mixed, next_of = array("q"), [0] * len(lengths)
    used_up, sets = set[int](), range(len(lengths))
    while len(used_up) < (len(lengths) if until_all else 1):
        chosen = draw.choices(sets, probabilities)[0]
        mixed.append(offsets[chosen] + next_of[chosen])
        next_of[chosen] += 1
        if next_of[chosen] == lengths[chosen]:
            used_up.add(chosen)
            next_of[chosen] = 0
    return mixed


def read_probabilities(texts: Sequence[str], sets: int) -> tuple[float, ...]:
    """`interleave_probs` as numbers that add up to 1.

    Raises:
        DataError: they are no shares, or not one for each set.
    """
    if not texts:
        return ()
    try:
        shares = [float(text) for text in texts]
    except ValueError:
        shares = []
    if not shares or not all(0 < share < float("inf") for share in shares):
        given = ", ".join(texts)
        raise DataError(
            _("interleave_probs: {given}: expected numbers above 0").format(given=given), _("write 0.7,0.3")
        )
    if len(shares) != sets:
        raise DataError(
            _("interleave_probs has {count} numbers for {sets} data sets").format(count=len(shares), sets=sets),
            _("give one for each data set, in their order"),
        )
    return tuple(share / sum(shares) for share in shares)
