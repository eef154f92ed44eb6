"""Answers of a batch are those of the chat and of transformers, whoever joins and leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conversations import load

from core.engine.chat_model import ChatModel
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply
from core.serve.protocol import Sampling
from tiny_models import SPECIALS, VOCABULARY, assert_equal_greedy, greedy_reference, reference_model

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "olmo2")
LENGTHS = (45, 3, 17, 45, 60, 1, 30)
END = frozenset({0, 7, 19, 40})
"""Random models seldom end an answer: some bytes are ends too, so that rows leave at different times."""


def prompt(seed: int, count: int, prefix: int = 0) -> tuple[int, ...]:
    """Random tokens, the first `prefix` of them the same for every seed."""
    shared, own = torch.Generator().manual_seed(99), torch.Generator().manual_seed(seed)
    ids = [
        torch.randint(len(SPECIALS), VOCABULARY, (n,), generator=g)
        for n, g in ((prefix, shared), (count - prefix, own))
    ]
    return tuple(torch.cat(ids).tolist())


def questions(adapter: str | None = None, prefix: int = 0, **sampling: object) -> list[Question]:
    how = Sampling(**{"max_new_tokens": 24, **sampling})  # type: ignore[arg-type]
    return [
        Question(n, prompt(n, prefix + count, prefix), END, replace(how, seed=n), adapter)
        for n, count in enumerate(LENGTHS)
    ]


def answers(chat: ChatModel, asked: Sequence[Question], batch_size: int | None = None) -> dict[int, Reply]:
    replies: list[Reply] = []
    predict(chat, asked, batch_size=batch_size, on_reply=replies.append)
    assert sorted(reply.key for reply in replies) == sorted(question.key for question in asked)
    return {reply.key: reply for reply in replies}


@pytest.mark.parametrize("kind", FAMILIES)
def test_greedy_answers_are_those_of_generate_in_any_batch(kind: str, model_folder: Callable[[str], Path]) -> None:
    chat, reference = load(model_folder(kind)), reference_model(model_folder(kind))
    asked = questions()
    for batch_size in (1, 3, 16):
        replies = answers(chat, asked, batch_size)
        for question in asked:
            theirs = greedy_reference(reference, list(question.ids), 24, set(END))
            assert_equal_greedy(reference, list(question.ids), list(replies[question.key].ids), theirs)
