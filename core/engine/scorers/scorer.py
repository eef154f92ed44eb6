"""What all that score answers have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.chat.message import Message
from core.engine.control import never
from core.models.reward_source import RewardKind

LARGEST = 1e15
"""The largest score that can be worked with: float32 has to hold sums of squares."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer that is to be scored, in all its views."""

    messages: Sequence[Message]
    """The conversation that it answers, as the data has it: each scorer asks in its own manner."""
    prompt_ids: Sequence[int]
    """As the policy read it."""
    answer_ids: Sequence[int]
    answer: str
    text: str = ""
    """Prompt and answer as the policy read and wrote them, special tokens shown; not given: what the ids say."""


class Scorer(Protocol):
    """Gives answers numbers."""

    @property
    def name(self) -> str:
        """In words, for the run's record."""

    @property
    def kind(self) -> RewardKind: ...

    def score(self, asked: Sequence[Asked], is_stopped: Callable[[], bool] = never) -> list[float]:
        """A finite number for each answer, in their order.

        Args:
            is_stopped: looked at now and then; after a stop the numbers that are there so far are given.

        Raises:
            FinetuiError: it fails, or gives no numbers.
        """


def workable(value: Any) -> float | None:
    """What is given as a score, as a number; None where it is none, is not finite, or is too large to work with."""
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):  # RuntimeError: of a tensor that holds several
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST and not isinstance(value, str) else None
