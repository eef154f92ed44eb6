"""What is judged, and what was thought of it.

A pair holds its two answers in the order in which they were drawn; which of them stands on the left is a matter of the
seed, so that neither the place nor the order of models tells a judge anything. Verdicts name answers, not sides, and
say beside it which side that was: a judge who likes the left one can be found out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from core.chat.message import Message

Verdict: TypeAlias = Literal["", "first", "second", "tie", "bad", "skip"]
"""first, second: the better answer of the two as they were drawn; tie: both are good; bad: neither is; skip: no
judgement; nothing: an earlier one is taken back."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)[1:]
PERSON = "person"
"""Who judges where no reward model does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of two answers."""

    text: str
    source: str
    """Who gave it, by the name that the evaluation uses."""
    repeat: int = 0
    """Which time it was asked, over all draws."""
    tokens: int = 0
    truncated: bool = False
    """Whether it ended because max_new_tokens was reached."""
    reward: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different answers to one prompt."""

    number: int
    """Of the prompt."""
    messages: tuple[Message, ...]
    """System prompt, history and question."""
    first: Answer
    second: Answer

    def on_sides(self, seed: int) -> tuple[Answer, Answer]:
        """The answers as they are shown, left and right."""
        return (self.second, self.first) if swapped(self.number, seed) else (self.first, self.second)


def swapped(number: int, seed: int) -> bool:
    """Whether the second answer of a pair stands on the left; half of them, by the seed."""
    return bool(hashlib.sha256(f"{seed}/{number}".encode()).digest()[0] & 1)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, as it is kept."""

    number: int
    """The pair's."""
    verdict: Verdict
    left: Literal["", "first", "second"] = ""
    """Which answer stood on the left; nothing where nobody saw them."""
    by: str = PERSON
    time: float = 0.0
    """Seconds since the epoch."""
