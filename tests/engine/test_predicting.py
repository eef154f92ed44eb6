"""Answers of a batch are those of the chat and of transformers, whoever joins and leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conversations import load

from core.engine.chat_model import ChatModel
from core.engine.predicting.likelihood import likelihoods, next_token_probabilities
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply, Target
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


def losses(reference: Any, asked: Sequence[Target]) -> list[float]:
    """transformers' own, one by one."""
    found = []
    for target in asked:
        labels = torch.tensor([[*[-100] * target.start, *target.ids[target.start :]]])
        with torch.inference_mode():
            found.append(float(reference(input_ids=torch.tensor([target.ids]), labels=labels).loss))
    return found


@pytest.mark.parametrize("kind", ["llama", "gemma3", "olmo2"])
def test_losses_are_those_of_transformers(kind: str, model_folder: Callable[[str], Path]) -> None:
    chat, reference = load(model_folder(kind)), reference_model(model_folder(kind))
    asked = [Target(n, prompt(n, 30 + count, 25), 26 + n) for n, count in enumerate((40, 5, 300, 12))]
    found = {one.key: one for one in likelihoods(chat, asked)}
    assert [found[n].loss for n in range(4)] == pytest.approx(losses(reference, asked), rel=1e-4)
    assert [found[n].tokens for n in range(4)] == [len(target.ids) - target.start for target in asked]


def test_a_text_without_a_continuation_or_beyond_the_context_has_no_loss(model_folder: Callable[[str], Path]) -> None:
    chat = load(model_folder("llama"))
    ids = prompt(0, 20)
    asked = [
        Target("none", ids, 20),
        Target("begin", ids, 0),
        Target("long", prompt(1, 513), 5),
        Target("fits", ids, 1),
    ]
    found = {one.key: one for one in likelihoods(chat, asked)}
    assert [found[key].tokens for key in ("none", "begin", "long", "fits")] == [0, 0, 0, 19]
    assert [math.isnan(found[key].loss) for key in ("none", "begin", "long", "fits")] == [True, True, True, False]


@pytest.mark.parametrize("kind", ["qwen3", "olmo2"])
def test_a_choice_is_told_by_the_next_token(kind: str, model_folder: Callable[[str], Path]) -> None:
    chat, reference = load(model_folder(kind)), reference_model(model_folder(kind))
    prompts, letters = [prompt(n, 40 + 3 * n, 30) for n in range(5)], [68, 69, 70, 71]
    found = list(next_token_probabilities(chat, prompts, letters))
    for ids, probabilities in zip(prompts, found, strict=True):
        with torch.inference_mode():
            expected = reference(input_ids=torch.tensor([ids])).logits[0, -1, letters].softmax(-1)
        torch.testing.assert_close(torch.tensor(probabilities), expected, atol=1e-5, rtol=1e-4)
