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
from predictions import END, answers, prompt, questions
from tuning_base import tunable

from core.engine.fused import FusedModel, Step
from core.engine.predicting.likelihood import likelihoods, next_token_probabilities
from core.engine.predicting.question import Question, Reply, Target
from tiny_models import assert_equal_greedy, greedy_reference, reference_model

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "olmo2")


def assert_answered_like(reference: Any, asked: Sequence[Question], replies: dict[Any, Reply]) -> None:
    for question in asked:
        theirs = greedy_reference(reference, list(question.ids), 16, set(END))
        assert_equal_greedy(reference, list(question.ids), list(replies[question.key].ids), theirs)


def assert_same(some: dict[Any, Reply], others: dict[Any, Reply]) -> None:
    """Equal but for answers with near-ties, which may part there."""
    certain = [key for key in some if not some[key].near_ties and not others[key].near_ties]
    assert len(certain) >= 3
    assert {key: some[key] for key in certain} == {key: others[key] for key in certain}


def count_tokens(model: FusedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each step reads."""
    read, counts = model.hidden, []

    def counted(step: Step) -> torch.Tensor:
        counts.append(len(step.ids))
        return read(step)

    monkeypatch.setattr(model, "hidden", counted)
    return counts


@pytest.mark.parametrize("kind", FAMILIES)
def test_greedy_answers_are_those_of_generate_in_any_batch(kind: str, model_folder: Callable[[str], Path]) -> None:
    chat, reference = load(model_folder(kind)), reference_model(model_folder(kind))
    asked = questions()
    together = answers(chat, asked, 16)
    assert_answered_like(reference, asked, together)
    for batch_size in (1, 3):
        assert_same(answers(chat, asked, batch_size), together)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("llama", {}), ("gemma3", {"use_dora": True, "target_modules": ["k_proj", "o_proj", "gate_proj"]}), ("olmo2", {})],
)
def test_adapters_answer_like_peft_and_the_base_beside_them_like_the_base(
    kind: str,
    options: dict[str, Any],
    model_folder: Callable[[str], Path],
    adapter_folder: Callable[..., Path],
) -> None:
    chat, path = load(model_folder(kind)), adapter_folder(kind, **options)
    chat.load_adapter("a", path)
    adapted = [replace(one, key=100 + one.key) for one in questions("a")]
    replies = answers(chat, [*questions(), *adapted], 4)
    for asked, reference in (
        (questions(), reference_model(model_folder(kind))),
        (adapted, reference_model(model_folder(kind), path)),
    ):
        assert_answered_like(reference, asked, replies)
    assert any(replies[100 + n].ids != replies[n].ids for n in range(len(adapted)))


@pytest.mark.parametrize("kind", ["mistral", "llama"])
def test_a_prefix_of_p_tuning_answers_in_a_batch_as_alone(
    kind: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tunable(model_folder(kind), finetuning_type="p_tuning", pre_seq_len=4).save(tmp_path)
    chat = load(model_folder(kind))
    chat.load_adapter("p", tmp_path)
    asked = questions("p")
    alone, together = answers(chat, asked, 1), answers(chat, asked, 16)
    assert_same(alone, together)
    base = answers(chat, questions(), 16)
    assert any(base[n].ids != together[n].ids for n in base)


@pytest.mark.parametrize(("kind", "prefix"), [("qwen3", 300), ("gemma3", 40)])
def test_what_all_prompts_begin_with_is_read_once_and_changes_nothing(
    kind: str, prefix: int, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 tokens are more than one step; windows of gemma3 are shorter than 40, so that some layers see none of it."""
    chat = load(model_folder(kind))
    asked = questions(prefix=prefix)
    one_by_one = {one.key: answers(chat, [one])[one.key] for one in asked}
    assert chat.base.fused is not None
    read = count_tokens(chat.base.fused, monkeypatch)
    together = answers(chat, asked)
    assert_same(one_by_one, together)
    written = sum(len(reply.ids) - 1 for reply in together.values())
    assert sum(read) == prefix + sum(len(one.ids) - prefix for one in asked) + written


@pytest.mark.parametrize("kind", ["gemma3", "olmo2"])
def test_a_long_prompt_is_read_in_parts_beside_those_who_write(
    kind: str, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = load(model_folder(kind))
    asked = [*questions(), replace(questions()[0], key=50, ids=prompt(50, 480))]
    one_by_one = {one.key: answers(chat, [one])[one.key] for one in asked}
    chat.step_tokens = 50
    assert_same(one_by_one, answers(chat, asked, 4))
    if chat.base.fused is not None:
        read = count_tokens(chat.base.fused, monkeypatch)
        answers(chat, asked, 4)
        assert max(read) <= 64 + 4


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
