"""What every way of answering has in common: a loaded model, and one that is served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from core.chat.message import Message
from core.config.evaluation import PredictionOptions
from core.engine.evaluating.test_set import TestRow
from core.report.prediction import Prediction
from core.report.report import Subject
from core.serve.protocol import Sampling

Wanted: TypeAlias = tuple[TestRow, int]
"""A row, and which time it is asked."""
OnAnswer: TypeAlias = Callable[[Prediction], None]
OnTokens: TypeAlias = Callable[[int], None]
IsStopped: TypeAlias = Callable[[], bool]

_THINK, _END = "<think>", "</think>"


class Answerer(Protocol):
    """Somebody who answers test rows."""

    @property
    def subject(self) -> Subject: ...

    @property
    def loading_seconds(self) -> float: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report has to know about how it was answered."""

    def answer(self, wanted: Sequence[Wanted], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        """Answer rows in whatever order; a row that cannot be answered has its error. After a stop nothing more comes.

        Args:
            on_tokens: told how many tokens were written since the last time, of answers that are not complete too.

        Raises:
            FinetuiError: nobody would be answered.
        """

    def judge(
        self, answers: Sequence[Prediction], rows: Sequence[TestRow], is_stopped: IsStopped
    ) -> Iterable[Prediction]:
        """The answers that lack what else was asked for (loss of the reference), with it, one after another."""

    def memory(self) -> int:
        """Bytes that are held now."""


def sampling_of(options: PredictionOptions, row: int, repeat: int) -> Sampling:
    """How a row is answered; its draws depend on nothing but the seed, the row and the time."""
    word = f"{options.seed}/{repeat}/{row}".encode()
    seed = int.from_bytes(hashlib.sha256(word).digest()[:4], "big") or 1
    return Sampling(
        temperature=0.0 if options.greedy else options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed if options.greedy else seed,
        max_new_tokens=options.max_new_tokens,
        stop=options.stop,
    )


def unanswered(row: TestRow, repeat: int, prompt: str = "") -> Prediction:
    """A row before it is answered."""
    return Prediction(prompt, "", row.label, row.id, row.number, repeat)


def with_text(prediction: Prediction, text: str, thinking: str = "") -> Prediction:
    """An answer, its thinking apart."""
    inside, text = split_thinking(text)
    return replace(prediction, predict=text, thinking="\n\n".join(filter(None, (thinking, inside))))


def split_thinking(text: str) -> tuple[str, str]:
    """The thinking in front of an answer, and the answer. Thinking that never ended has no answer behind it."""
    opened = text.lstrip()
    if not opened.startswith(_THINK):
        return "", text
    thinking, _mark, answer = opened.removeprefix(_THINK).partition(_END)
    return thinking.strip(), answer.lstrip()


def shown_conversation(messages: Sequence[Message]) -> str:
    """A conversation as text, where nobody here knows the model's own."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)
