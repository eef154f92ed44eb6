"""Small reinforcement learnings, and what they may differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from core.runs.events import Step
from core.workspace import Workspace
from training_runs import Trained, train_here

REWARDS = '''
def dense(prompts, answers):
    """One that tells nearly all answers apart."""
    return [sum(ord(letter) % 7 for letter in answer) / 16 for answer in answers]

def same(prompts, answers):
    return [1.0 for _answer in answers]

def missing(prompts, answers):
    return [float("nan") for _answer in answers]
'''
TIMES = ("rollout_seconds", "score_seconds", "update_seconds")
PPO: dict[str, Any] = {
    "stage": "ppo",
    "max_new_tokens": 6,
    "max_steps": 4,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "ppo_buffer_size": 2,
    "ppo_epochs": 2,
    "learning_rate": 2e-3,
}


def reward_file(workspace: Workspace) -> Path:
    """A file of functions that score answers, in the workspace."""
    path = workspace.root / "rewards.py"
    path.write_text(REWARDS)
    return path


def ppo(workspace: Workspace, name: str, reward: str, **options: Any) -> Trained:
    """A whole one; the reward is a function of `REWARDS`, or a reward model."""
    if f"def {reward}(" in REWARDS:
        reward = f"{workspace.root / 'rewards.py'}:{reward}"
    trained = train_here(workspace, name, **{**PPO, "reward_model": reward, **options})
    assert trained.exit_code == 0, trained.last
    return trained


def numbers(trained: Trained) -> dict[int, dict[str, float]]:
    """What was told at each step, without what it took; of two points the later one counts."""
    return {
        one.step: {"loss": one.loss, "grad_norm": one.grad_norm, "lr": one.learning_rate, "rows": one.rows}
        | {name: value for name, value in one.metrics.items() if name not in TIMES}
        for one in trained.all(Step)
    }


def metric(trained: Trained, name: str) -> list[float]:
    """A curve."""
    return [told[name] for _step, told in sorted(numbers(trained).items())]


def adapter_of(folder: Path) -> dict[str, Tensor]:
    """The trained weights that chat loads, and the value head."""
    return dict(load_file(folder / "adapter_model.safetensors")) | dict(load_file(folder / "value_head.safetensors"))
