"""How a run's numbers are told in plain lines: by the trainer into output.log, and by commands that follow it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from core.runs.events import Answered, Step
from core.runs.quantities import QUANTITIES

_COUNTS = ("_samples", "num_input_tokens_seen")
_SLOW = 0.1
"""Updates a second below which the seconds of one are told."""
_LEADING = tuple(dict.fromkeys(one.name for stage in QUANTITIES.values() for one in stage if one.leads))


def log_line(step: Step, updates_per_second: float) -> str:
    """`global step 100 ( 3.33% ) , epoch: 17, loss: 0.79312, speed: 1.56 step/s, ETA: 00:30:57`.

    What a stage is watched by stands behind the loss: `accuracy: 0.875, margin: 0.3121`, `reward: 1.29, kl: 0.532`.
    """
    percent = 100 * step.step / max(step.total_steps, 1)
    watched = "".join(f"{name}: {value:.4g}, " for name, value in leading(step.metrics))
    return (
        f"global step {step.step} ( {percent:.2f}% ) , epoch: {int(step.epoch)}, loss: {step.loss:.5f}, {watched}"
        f"speed: {pace(updates_per_second)}, ETA: {clock(step.remaining)}"
    )


def pace(updates_per_second: float) -> str:
    """`1.56 step/s`; of what takes long, as PPO's steps do, `12.5 s/step`."""
    if 0 < updates_per_second < _SLOW:
        return f"{1 / updates_per_second:.3g} s/step"
    return f"{updates_per_second:.2f} step/s"


def leading(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """Of a point's metrics, those that one watches, in their order."""
    return [(name, metrics[name]) for name in _LEADING if name in metrics]


def answered_line(event: Answered, rows_per_second: float) -> str:
    """`lora · test 40/100 ( 20.00% ), exact_match: 45, speed: 1.56 rows/s, ETA: 00:01:42`."""
    percent = 100 * event.done / max(event.total, 1)
    shown = "".join(f", {name}: {value:.4g}" for name, value in event.metrics.items())
    failed = f", failed: {event.failed}" if event.failed else ""
    speed = f"speed: {rows_per_second:.2f} rows/s, ETA: {clock(event.remaining)}"
    if not event.remaining and event.part_done < event.part_total:  # none is complete yet
        speed = f"{event.tokens} tokens so far"
    return f"{event.part} {event.part_done}/{event.part_total} ( {percent:.2f}% ){failed}{shown}, {speed}"


def answer_rate(event: Answered) -> float:
    """Answers a second, as the time to go was reckoned: batches end at once, so short windows tell nothing."""
    return (event.total - event.done) / event.remaining if event.remaining else event.rows_per_second


def clock(seconds: float) -> str:
    """`00:30:57`, with days in front where there are any."""
    return str(timedelta(seconds=int(seconds))).rjust(8, "0")


def metrics_block(split: str, metrics: Mapping[str, Any]) -> str:
    """The block that transformers' example scripts print at their end."""
    shown = {name: _shown(name, value) for name, value in metrics.items()}
    names, values = max(map(len, shown)), max(map(len, shown.values()))
    lines = [f"  {name:<{names}} = {shown[name]:>{values}}" for name in sorted(shown)]
    return "\n".join([f"***** {split} metrics *****", *lines])


def metrics_blocks(results: Mapping[str, Any]) -> str:
    """The blocks of `all_results.json`: the training's, and the evaluation's where there was one."""
    evaluation = {name: value for name, value in results.items() if name.startswith("eval_")}
    train = {name: value for name, value in results.items() if name not in evaluation}
    if evaluation and "epoch" in results:
        evaluation["epoch"] = results["epoch"]
    blocks = [("train", train), ("eval", evaluation)]
    return "\n".join(metrics_block(split, metrics) for split, metrics in blocks if metrics)


def _shown(name: str, value: Any) -> str:
    if name.endswith("_runtime"):
        return f"{timedelta(seconds=int(value))}.{int(value % 1 * 100):02d}"
    if name == "total_flos":
        return f"{int(value) >> 30}GF"
    if name.endswith(_COUNTS):
        return str(int(value))  # events have floats alone
    return str(round(value, 4)) if isinstance(value, float) and math.isfinite(value) else str(value)
