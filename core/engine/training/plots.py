"""The pictures of a run's losses and rewards, as LLaMA-Factory draws them: the same smoothing, the same file names.

An exponential mean that starts at the first value; the more points there are, the more it smooths (Hiyouga's formula,
since ChatGLM-Efficient-Tuning).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.runs.quantities import TrainingStage

_LOSSES = ("loss", "eval_loss")
_PICTURES: Mapping[TrainingStage, tuple[str, ...]] = {
    "sft": _LOSSES,
    "rm": (*_LOSSES, "accuracy", "eval_accuracy", "margin"),
    "dpo": (*_LOSSES, "rewards/accuracies", "eval_rewards/accuracies", "rewards/margins"),
    "ppo": (*_LOSSES, "reward", "eval_reward", "kl"),
}
"""Keys of the history that are drawn: `rewards/accuracies` into `training_rewards_accuracies.png`."""


def smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean of values, the heavier the more there are."""
    if not values:
        return []
    weight = 1.8 * (1 / (1 + math.exp(-0.05 * len(values))) - 0.5)
    last, means = values[0], []
    for value in values:
        last = last * weight + (1 - weight) * value
        means.append(last)
    return means


def write_plots(folder: Path, stage: TrainingStage, log_history: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Draw whatever a stage shows that there are points of.

    Returns:
        The pictures written.
    """
    written = []
    for key in _PICTURES[stage]:
        name = f"training_{key.replace('/', '_')}.png"
        points = [(row["step"], row[key]) for row in log_history if key in row]
        if points:
            _draw(folder / name, key, points)
            written.append(folder / name)
    return written


def _draw(path: Path, key: str, points: Sequence[tuple[float, float]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.3 s, at the end of a run only
    from matplotlib.figure import Figure

    steps, values = [step for step, _value in points], [value for _step, value in points]
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    marker = "o" if len(points) == 1 else None
    axes.plot(steps, values, color="#1f77b4", alpha=0.4, label="original", marker=marker)
    axes.plot(steps, smoothed(values), color="#1f77b4", label="smoothed")
    axes.set_title(f"training {key} of {path.parent.name}", parse_math=False)
    axes.set_xlabel("step")
    axes.set_ylabel(key)
    axes.legend()
    figure.savefig(path, format="png", dpi=100)
