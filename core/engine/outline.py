"""Where answers stand in the rendering of a conversation, told once for all conversations of the same shape.

A loss mask takes two more renderings for each answer. Their results are the same for all conversations of equal roles,
but for what stands in the messages: so they are made once, of marks in the messages' places, and kept as literals and
places in them. An outline is only believed for a conversation whose real rendering is the literals filled in; a
template that trims, reorders or looks into its messages has none, and its answers are looked for in each by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Range: TypeAlias = tuple[int, int]
"""Characters of a text, from and up to."""


class Place(NamedTuple):
    """A place between two characters."""

    literal: int
    offset: int


@dataclass(frozen=True)
class Outline:
    """A rendering without the messages' texts."""

    literals: tuple[str, ...]
    """What stands before, between and behind the messages."""
    answers: tuple[tuple[Place, Place], ...]
    cuts: tuple[Place, ...]
    """Where the text is cut before it is encoded."""

    def find(self, contents: Sequence[str], text: str) -> tuple[list[Range], list[int]] | None:
        """The answers of a rendering, and its cuts; None if it is not the literals with these contents."""
        parts = [part for pair in zip(self.literals, (*contents, ""), strict=True) for part in pair]
        if "".join(parts) != text:
            return None
        starts = _starts(parts)
        answers = [(starts[a.literal] + a.offset, starts[b.literal] + b.offset) for a, b in self.answers]
        return answers, [starts[cut.literal] + cut.offset for cut in self.cuts]


def mark(index: int) -> str:
    """Stands for the text of a message: characters of private use, which no template has a word for."""
    return f"\ue000{index}\ue001"


def outline_of(text: str, count: int, answers: Sequence[Range], cuts: Sequence[int]) -> Outline | None:
    """The outline of a rendering of `count` marks; None if they do not stand in it once each, in their order."""
    literals, rest = [], text
    for index in range(count):
        before, found, rest = rest.partition(mark(index))
        if not found:
            return None
        literals.append(before)
    literals.append(rest)
    if any("\ue000" in literal for literal in literals):
        return None
    starts = _starts([part for pair in zip(literals, (*map(mark, range(count)), ""), strict=True) for part in pair])
    places = {start + i: Place(n, i) for n, start in enumerate(starts) for i in range(len(literals[n]) + 1)}
    try:
        ends = tuple((places[start], places[end]) for start, end in answers)
        return Outline(tuple(literals), ends, tuple(places[cut] for cut in cuts))
    except KeyError:  # an answer that begins or ends inside a mark
        return None


def _starts(parts: Sequence[str]) -> list[int]:
    """Where each literal begins; literals and contents take turns."""
    return [0, *itertools.accumulate(map(len, parts))][:-1:2]
