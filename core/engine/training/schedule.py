"""How many updates there are, and the learning rate of each: transformers' own schedules."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers.optimization import get_scheduler

from core.config.optimization import OptimizationOptions


def warmup_steps(options: OptimizationOptions, total_steps: int) -> int:
    """Updates in which the learning rate rises: a number, or a share of all of them, rounded up."""
    if options.warmup_steps >= 1:
        return int(options.warmup_steps)
    return math.ceil(total_steps * (options.warmup_steps or options.warmup_ratio))


def build_schedule(optimizer: Optimizer, options: OptimizationOptions, total_steps: int) -> LRScheduler:
    """The schedule over all updates of the run."""
    kind: Any = options.lr_scheduler_type
    schedule: LRScheduler = get_scheduler(
        kind,
        optimizer=optimizer,
        num_warmup_steps=warmup_steps(options, total_steps),
        num_training_steps=total_steps,
    )
    return schedule
