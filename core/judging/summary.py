"""What came out of a judging: who won how often, how sure that is, and whether the judge liked a side or length."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.i18n import _, plural
from core.judging.drawing import Drawing
from core.judging.pair import PERSON, VERDICTS, Answer, Judged, Pair, Verdict
from core.judging.rewarding import by_reward
from core.untrusted import inert_line

_Z = 1.959963984540054
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share behind it (Wilson 1927), from 0 to 1; all of it where nothing was counted."""
        if not self.of:
            return 0.0, 1.0
        n, p, square = self.of, self.value, _Z**2
        middle = (p + square / (2 * n)) / (1 + square / n)
        half = _Z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def is_open(self) -> bool:
        """Whether one half, which chance alone would bring, is among what it may be."""
        low, high = self.interval
        return low <= 0.5 <= high


@dataclass(frozen=True, slots=True)
class Summary:
    """The judgements counted."""

    pairs: int
    verdicts: Mapping[Verdict, int]
    wins: Mapping[str, Share] = field(default_factory=dict)
    """By who answered, where two did: how often theirs was the better one, of the pairs that have a better one."""
    left: Share | None = None
    """How often the answer on the left was chosen, where a person judged."""
    longer: Share | None = None
    """How often the longer answer was."""
    agreement: Share | None = None
    """How often a person and the reward model chose the same, where both chose."""

    @property
    def judged(self) -> int:
        return sum(self.verdicts.values())

    @property
    def decided(self) -> int:
        """Pairs with a better answer: the rows of the data set."""
        return self.verdicts["first"] + self.verdicts["second"]


def summary(pairs: Sequence[Pair], judged: Mapping[int, Judged], min_margin: float = 0.0) -> Summary:
    """Count the judgements of some pairs.

    Args:
        judged: by the number of a pair.
        min_margin: below which rewards are taken for the same.
    """
    standing = [(pair, judged[pair.number]) for pair in pairs if pair.number in judged]
    counts = Counter(one.verdict for _pair, one in standing)
    decided = [(pair, one) for pair, one in standing if one.verdict in ("first", "second")]
    by_person = [(pair, one) for pair, one in decided if one.left and one.by == PERSON]
    lengths = [(chosen, other) for chosen, other in map(_better, decided) if len(chosen.text) != len(other.text)]
    both = [(one.verdict, by_reward(pair, min_margin)) for pair, one in by_person]
    chosen_by_both = [pair for pair in both if pair[1] in ("first", "second")]
    return Summary(
        len(pairs),
        {verdict: counts[verdict] for verdict in VERDICTS},
        _wins(decided),
        _share(one.verdict == one.left for _pair, one in by_person),
        _share(len(chosen.text) > len(other.text) for chosen, other in lengths),
        _share(person == model for person, model in chosen_by_both),
    )


def _better(decided: tuple[Pair, Judged]) -> tuple[Answer, Answer]:
    pair, one = decided
    return (pair.first, pair.second) if one.verdict == "first" else (pair.second, pair.first)


def _wins(decided: Sequence[tuple[Pair, Judged]]) -> dict[str, Share]:
    if not any(pair.first.source != pair.second.source for pair, _one in decided):
        return {}
    won = Counter(_better(one)[0].source for one in decided)
    sources = dict.fromkeys(answer.source for pair, _one in decided for answer in (pair.first, pair.second))
    return {source: Share(won[source], len(decided)) for source in sources}


def _share(hits: Iterator[bool]) -> Share | None:
    found = list(hits)
    return Share(sum(found), len(found)) if found else None


# --- in words ----------------------------------------------------------------------------------------------------


def summary_lines(found: Summary, drawing: Drawing) -> Iterator[str]:
    """What came out, line by line; texts are inert."""
    yield _("{judged} of {pairs} pairs judged").format(judged=f"{found.judged:,}", pairs=f"{found.pairs:,}")
    yield from _drawing_lines(drawing)
    counts = [
        _("{count} with a better answer").format(count=found.decided),
        plural("{count} tie", "{count} ties", found.verdicts["tie"]),
        _("{count} both bad").format(count=found.verdicts["bad"]),
        _("{count} skipped").format(count=found.verdicts["skip"]),
    ]
    yield ", ".join(counts)
    if found.judged == found.pairs:  # before the end it would tell the judge something
        yield from _wins_lines(found.wins)
    if found.left is not None:
        yield _biased(
            found.left, _("the left one was chosen {share}"), _("judge with a rested eye: sides are shuffled")
        )
    if found.longer is not None:
        yield _biased(found.longer, _("the longer one was chosen {share}"), _("length may be what is learnt from them"))
    if found.agreement is not None:
        yield _("the reward model chose the same {share}").format(share=share_text(found.agreement))


def _wins_lines(wins: Mapping[str, Share]) -> Iterator[str]:
    for source, share in wins.items():
        yield _("{name} won {share}").format(name=inert_line(source), share=share_text(share))
    if wins and next(iter(wins.values())).is_open:
        yield _("which of the two is better is open: chance alone may do that")


def _drawing_lines(drawing: Drawing) -> Iterator[str]:
    if drawing.alike:
        yield plural(
            "{count} prompt is left out: its answers were all the same",
            "{count} prompts are left out: their answers were all the same",
            drawing.alike,
        )
    if drawing.lacking:
        yield plural(
            "{count} prompt is left out: it has no two answers that say something",
            "{count} prompts are left out: they have no two answers that say something",
            drawing.lacking,
        )
    if drawing.left_out:
        yield plural("{count} bad row was left out", "{count} bad rows were left out", drawing.left_out)


def _biased(share: Share, told: str, warning: str) -> str:
    """A share that should be a half; with a warning where it is not."""
    line = told.format(share=share_text(share))
    return line if share.is_open else f"{line}: {warning}"


def share_text(share: Share) -> str:
    """`12 of 21 (57 %, 36 – 76 %)`: the share and its interval."""
    low, high = share.interval
    counts = _("{count} of {of}").format(count=f"{share.count:,}", of=f"{share.of:,}")
    return f"{counts} ({100 * share.value:.0f} %, {100 * low:.0f} – {100 * high:.0f} %)"
