"""Answers drawn by the weights that are trained: by no other ones, held once, and the same whoever else is answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tuning_base import logits_of, train, tunable

from core.engine.beside.policy_runner import PolicyRunner
from core.engine.ppo.rollouts import Roller
from core.engine.tuning.tunable import Tunable
from core.errors import TrainingError
from tiny_models import greedy_reference

PROMPTS = [[5, 6, 7, 8], [5, 6, 9, 40, 41], [30, 31], [5, 6, 7, 8]]


def roller(tuned: Tunable, *, temperature: float = 1.0, longest: int = 12, **how: Any) -> Roller:
    return Roller(PolicyRunner(tuned, tuned.base), temperature=temperature, max_new_tokens=longest, **how)  # type: ignore[attr-defined]


METHODS: dict[str, dict[str, Any]] = {
    "lora": {"finetuning_type": "lora", "lora_dropout": 0.3},
    "rslora": {"finetuning_type": "lora", "use_rslora": True, "lora_target": ("q_proj", "down_proj")},
    "dora": {"finetuning_type": "lora", "use_dora": True},
    "head": {"finetuning_type": "lora", "lora_target": ("q_proj", "lm_head")},
    "prefix": {"finetuning_type": "p_tuning", "pre_seq_len": 3},
    "projected": {"finetuning_type": "p_tuning", "pre_seq_len": 3, "prefix_projection": True},
    "full": {"finetuning_type": "full"},
}


OTHER_FAMILIES = [(kind, method) for kind in ("gemma3", "qwen3", "olmo2") for method in ("lora", "prefix")]


@pytest.mark.parametrize(("kind", "method"), [*(("llama", method) for method in METHODS), *OTHER_FAMILIES])
def test_answers_are_those_of_the_weights_as_they_are_trained(
    kind: str, method: str, model_folder: Callable[[str], Path]
) -> None:
    tuned = tunable(model_folder(kind), **METHODS[method])
    rolls = roller(tuned, temperature=1e-6)
    before = rolls.draw(PROMPTS, seed=1)
    train(tuned, 3)
    tuned.network.train()
    after = rolls.draw(PROMPTS, seed=1)
    assert tuned.network.training
    tuned.network.eval()
    ends = set(tuned.base.end_ids)  # type: ignore[attr-defined]
    expected = [greedy_reference(tuned.network, prompt, 12, ends) for prompt in PROMPTS]
    assert [list(one.answer_ids) for one in after] == expected
    assert [list(one.answer_ids) for one in before] != expected
    assert [one.prompt_ids for one in after] == [tuple(prompt) for prompt in PROMPTS]
    assert [one.ended for one in after] == [answer[-1] in ends for answer in expected]


def test_a_draw_depends_on_the_seed_and_the_place_alone(model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"))
    train(tuned, 3)
    whole = roller(tuned).draw(PROMPTS, seed=5)
    assert roller(tuned, batch_size=1).draw(PROMPTS, seed=5) == whole
    assert roller(tuned).draw([PROMPTS[3], PROMPTS[1]], seed=5, places=[3, 1]) == [whole[3], whole[1]]
    assert whole[0].answer_ids != whole[3].answer_ids  # the same prompt twice gets two answers
    assert roller(tuned).draw(PROMPTS, seed=6) != whole


@pytest.mark.parametrize("method", ["lora", "full"])
def test_draws_follow_the_probabilities_at_the_temperature_and_nothing_else(
    method: str, model_folder: Callable[[str], Path]
) -> None:
    tuned = tunable(model_folder("llama"), **METHODS[method])
    tuned.network.generation_config.top_k = 1  # of a model's own settings nothing counts
    train(tuned, 3)
    count, prompt = 1500, PROMPTS[0]
    answers = roller(tuned, temperature=0.6, longest=1).draw([prompt] * count, seed=2)
    logits = logits_of(tuned.network, torch.tensor([prompt]))[0, -1]
    expected = (logits / 0.6).softmax(-1)
    drawn = torch.bincount(torch.tensor([one.answer_ids[0] for one in answers]), minlength=len(expected)) / count
    spread = (expected * (1 - expected) / count).sqrt()
    assert ((drawn - expected).abs() < 5 * spread + 1e-3).all()
    assert (drawn > 0).sum() > 5


def test_an_answer_ends_with_its_first_end_token(model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"))
    train(tuned, 3)
    ends = set(tuned.base.end_ids)  # type: ignore[attr-defined]
    answers = roller(tuned, temperature=2.0, longest=60).draw(PROMPTS * 4, seed=3)
    assert {one.ended for one in answers} == {True, False}
    for one in answers:
        assert not ends & set(one.answer_ids[:-1])
        assert one.ended == (one.answer_ids[-1] in ends)
        assert one.ended or len(one.answer_ids) == 60


def test_the_base_is_held_once_and_its_parameters_stay_the_ones_that_are_there(
    model_folder: Callable[[str], Path],
) -> None:
    tuned = tunable(model_folder("llama"))
    names = {name: (id(one), one.detach().clone()) for name, one in tuned.network.named_parameters()}
    policy = PolicyRunner(tuned, tuned.base)  # type: ignore[attr-defined]
    assert policy.chat.base.fused is not None
    for name, one in tuned.network.named_parameters():
        assert names[name][0] == id(one)
        assert torch.equal(names[name][1], one)
    first = policy.chat.base.fused.layers[0]
    held = {one.untyped_storage().data_ptr() for one in tuned.network.parameters()}
    for fused in (first.qkv, first.out, first.gate_up, first.down):
        assert fused.weight.untyped_storage().data_ptr() in held


def test_what_cannot_be_answered_is_an_error_with_its_reason(model_folder: Callable[[str], Path]) -> None:
    tuned = tunable(model_folder("llama"))
    with pytest.raises(TrainingError, match=r"could not be drawn: the prompt is too long: 600 of 512 tokens"):
        roller(tuned).draw([[5] * 600], seed=1)
    with torch.no_grad():
        next(iter(tuned.trained.values())).fill_(torch.nan)
    with pytest.raises(TrainingError, match="gave NaN instead of numbers"):
        roller(tuned).draw(PROMPTS, seed=1)
