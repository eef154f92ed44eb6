"""One answer in the making: tokens in, text and a true finish reason out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from core.engine.detokenize import Detokenizer, StopStrings
from core.engine.sampling import Sampler
from core.serve.protocol import FinishReason, Text, Usage

_SECONDS_BETWEEN_TEXTS = 0.05


@dataclass(frozen=True)
class Limits:
    """When an answer is over."""

    end_ids: Collection[int]
    stop: Sequence[str]
    max_new_tokens: int
    context_length: int


@dataclass
class Answer:
    """A row of a `Generate` request from its prompt to its last token."""

    request_id: int
    number: int
    adapter: str | None
    cache_key: str
    row: Any
    """The runner's row; its tokens are what the model has read."""
    prompt: tuple[int, ...]
    reused: int
    limits: Limits
    sampler: Sampler
    decode: Callable[[Sequence[int]], str]
    started_at: float
    opening: str = ""
    """Text that the prompt has begun the answer with already."""
    finish_reason: FinishReason | None = None
    _answer_tokens: int = 0
    _next: list[int] = field(default_factory=list)
    _unsaid: str = ""
    _unsaid_tokens: int = 0
    _spoke_at: float | None = None
    _first_token_at: float | None = None
    _last_token_at: float | None = None

    def __post_init__(self) -> None:
        self._detokenizer = Detokenizer(self.decode)
        self._stops = StopStrings(self.limits.stop)
        self._next = list(self.prompt[self.reused :])
        self._unsaid = self.opening

    @property
    def is_prefilling(self) -> bool:
        return self._answer_tokens == 0

    def next_ids(self, at_most: int) -> tuple[list[int], bool]:
        """The tokens that the model has to read next, and whether its opinion on what follows is wanted."""
        ids, self._next = self._next[:at_most], self._next[at_most:]
        return ids, not self._next

    def take(self, logits: Tensor, now: float) -> None:
        """Choose the next token out of float logits [vocabulary]."""
        token = self.sampler.choose(logits)
        self._answer_tokens += 1
        self._unsaid_tokens += 1
        self._last_token_at = now
        if self._first_token_at is None:
            self._first_token_at = now
        if token in self.limits.end_ids:
            self.end("stop")
            return
        self._next = [token]
        self._unsaid += self._stops.push(self._detokenizer.push(token))
        if self._stops.hit:
            self.finish_reason = "stop"
        elif self._answer_tokens >= min(self.limits.max_new_tokens, self.limits.context_length - len(self.prompt)):
            self.end("length")

    def end(self, reason: FinishReason) -> None:
        """No more tokens; what might have become a stop string is said after all."""
        self._unsaid += self._stops.flush()
        self.finish_reason = reason

    def texts(self, now: float) -> Iterator[Text]:
        """The text that is due: the first at once, then not more often than a screen can use."""
        due = self._spoke_at is None or now - self._spoke_at >= _SECONDS_BETWEEN_TEXTS
        if self._unsaid and (due or self.finish_reason is not None):
            yield Text(self.request_id, self.number, self._unsaid, self._unsaid_tokens)
            self._unsaid, self._unsaid_tokens, self._spoke_at = "", 0, now

    def usage(self) -> Usage:
        first, last = self._first_token_at, self._last_token_at
        return Usage(
            prompt_tokens=len(self.prompt),
            reused_tokens=self.reused,
            answer_tokens=self._answer_tokens,
            context_left=max(0, self.limits.context_length - len(self.prompt) - self._answer_tokens),
            first_token_seconds=0.0 if first is None else first - self.started_at,
            seconds=0.0 if last is None else last - self.started_at,
        )
