"""One message of a conversation, in the words of every chat format: who said what, and what an answer took."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

REASONING = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
"""What a model thought before it spoke."""

Role: TypeAlias = Literal["system", "user", "assistant"]

FinishReason: TypeAlias = Literal["stop", "length", "stopped", "error"]
"""stop: an end token or a stop string; length: max_new_tokens or the context is used up; stopped: by the user."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a model sees it.

    `content` is the whole text; for an assistant it may open with `<think>…</think>`, which is left out of the
    history that later turns are rendered from.
    """

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took."""

    prompt_tokens: int
    reused_tokens: int
    answer_tokens: int
    context_left: int
    """Tokens that still fit after this answer."""
    first_token_seconds: float
    seconds: float
    """From taking the request up to the last token."""

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed: the tokens after the first over the time after the first; 0 when there are none."""
        decoding = self.seconds - self.first_token_seconds
        return (self.answer_tokens - 1) / decoding if decoding > 0 and self.answer_tokens > 1 else 0.0
