"""What the batched generator is asked, and what it gives back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from core.chat.message import FinishReason
from core.serve.protocol import Sampling


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that is to be answered."""

    key: Any
    """The caller's; comes back with the answer."""
    ids: tuple[int, ...]
    """The prompt as tokens, from the one prompt builder (`core.engine.manner.Manner.prompt`)."""
    end_ids: Collection[int]
    sampling: Sampling
    """With a seed of its own: a draw depends on nothing but the row. `max_new_tokens` is the row's."""
    adapter: str | None = None
    """The name of an adapter that is loaded beside the base; None is the base."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer."""

    key: Any
    text: str
    """Without special tokens, cut before a stop string; thinking is still in it."""
    ids: tuple[int, ...]
    """The generated tokens, the end token among them."""
    finish_reason: FinishReason | None
    near_ties: int = 0
    """Greedy choices whose two best logits lay closer than 1e-3: there another batch may go another way."""
    error: str = ""
    """Why there is no answer; then `finish_reason` is None."""


@dataclass(frozen=True, slots=True)
class Target:
    """A continuation whose probability is asked for."""

    key: Any
    ids: tuple[int, ...]
    """Prompt and continuation."""
    start: int
    """Where the continuation begins; the mean is over `ids[start:]`."""
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely the model finds a continuation."""

    key: Any
    loss: float
    """Mean negative log-likelihood per token, in nats."""
    tokens: int
