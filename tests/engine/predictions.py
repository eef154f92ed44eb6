"""Prompts of random tokens and their answers in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from core.engine.chat_model import ChatModel
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply
from core.serve.protocol import Sampling
from tiny_models import SPECIALS, VOCABULARY

LENGTHS = (45, 3, 17, 45, 60, 1, 30)
END = frozenset({0, 7, 19, 40})
"""Random models seldom end an answer: some bytes are ends too, so that rows leave at different times."""


def prompt(seed: int, count: int, prefix: int = 0) -> tuple[int, ...]:
    """Random tokens, the first `prefix` of them the same for every seed."""
    shared, own = torch.Generator().manual_seed(99), torch.Generator().manual_seed(seed)
    parts = ((prefix, shared), (count - prefix, own))
    ids = [torch.randint(len(SPECIALS), VOCABULARY, (n,), generator=generator) for n, generator in parts]
    return tuple(torch.cat(ids).tolist())


def questions(adapter: str | None = None, prefix: int = 0, ends: frozenset[int] = END, **how: object) -> list[Question]:
    """Prompts of many lengths, each with a seed of its own."""
    sampling = Sampling(**{"max_new_tokens": 16, **how})  # type: ignore[arg-type]
    return [
        Question(n, prompt(n, prefix + count, prefix), ends, replace(sampling, seed=n), adapter)
        for n, count in enumerate(LENGTHS)
    ]


def answers(chat: ChatModel, asked: Sequence[Question], batch_size: int | None = None) -> dict[int, Reply]:
    """One reply for each question, by its key."""
    replies: list[Reply] = []
    predict(chat, asked, batch_size=batch_size, on_reply=replies.append)
    assert sorted(reply.key for reply in replies) == sorted(question.key for question in asked)
    return {reply.key: reply for reply in replies}
