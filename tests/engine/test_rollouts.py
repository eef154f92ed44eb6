"""Answers drawn by the weights that are trained: by no other ones, held once, and the same whoever else is answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuning_base import train, tunable

from core.engine.ppo.policy_runner import PolicyRunner
from core.engine.ppo.rollouts import Roller
from core.engine.tuning.tunable import Tunable
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
