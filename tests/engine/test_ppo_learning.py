"""Reinforcement learning on the real default model: a reward rises by more than chance, and the policy stays near.

The reward is dense (the share of words with an e, times 4), so a few steps are enough. Chance is the standard error of
the answers' own scores: 48 of the first steps against 48 of the last. About 110 seconds of one core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from core.runs.events import Sample, Step
from core.workspace import init_workspace
from training_runs import train_here

pytestmark = pytest.mark.slow
REWARD = """
def with_e(prompts, answers):
    return [4 * sum("e" in word for word in answer.split()) / max(1, len(answer.split())) for answer in answers]
"""
ANSWERS = 16
COMPARED = 3
"""Steps at each end."""


def mean_and_error(steps: Sequence[Step]) -> tuple[float, float]:
    """The mean reward of steps, and its standard error by the spread of the answers' scores."""
    variance = fmean(step.metrics["reward_spread"] ** 2 for step in steps)
    return fmean(step.metrics["reward"] for step in steps), math.sqrt(variance / (ANSWERS * len(steps)))


def test_ppo_raises_a_reward_by_more_than_chance_and_stays_near_its_start(tmp_path: Path, default_model: Path) -> None:
    workspace = init_workspace(tmp_path)[0]
    (tmp_path / "reward.py").write_text(REWARD)
    trained = train_here(
        workspace,
        "ppo",
        stage="ppo",
        model_name_or_path=str(default_model),
        dataset=("self_introduction",),
        reward_model=f"{tmp_path}/reward.py:with_e",
        threads=1,
        lora_rank=8,
        max_new_tokens=12,
        max_steps=9,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        ppo_buffer_size=ANSWERS // 8,
        ppo_epochs=2,
        ppo_kl_coef=0.05,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        probe_prompt=("Who are you?",),
        probe_max_new_tokens=12,
    )
    assert trained.finished().reason == "completed"
    steps = trained.all(Step)
    before, noise_before = mean_and_error(steps[:COMPARED])
    after, noise_after = mean_and_error(steps[-COMPARED:])
    gain, noise = after - before, math.hypot(noise_before, noise_after)
    assert gain > 2 * noise, f"{before:.2f} → {after:.2f}, chance is {noise:.2f}"
    distances = [step.metrics["kl"] for step in steps]
    assert distances[0] == 0.0
    assert 0.3 < fmean(distances[-COMPARED:]) < 6.0  # ppo_target
    assert fmean(step.metrics["value_loss"] for step in steps[-COMPARED:]) < steps[0].metrics["value_loss"]
    assert {sample.step for sample in trained.all(Sample)} == {0, 9}
