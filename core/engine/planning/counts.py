"""Steps, checkpoints, points and bytes of a training, counted as the loop will make them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.optimization import OptimizationOptions
from core.config.output import OutputOptions, When
from core.engine.batches.order import Updates
from core.engine.planning.anatomy import Anatomy
from core.runs.plan import DiskEstimate, MemoryEstimate
from core.workspace import Workspace

_LOG_BYTES = 4 << 20


@dataclass(frozen=True)
class Counts:
    """Of a whole training."""

    total_steps: int
    epochs: float
    points: int
    checkpoints: int
    evaluations: int
    looks: int
    """How often probes are answered: before the first step, and whenever it is time for an evaluation."""


def count(settings: Settings, updates: Updates, eval_rows: int) -> Counts:
    """How often what happens."""
    options, output = settings[OptimizationOptions], settings[OutputOptions]
    total = updates.total(options.num_train_epochs, options.max_steps)
    when = output.eval_strategy or "steps"
    evaluations = _times(when, output.eval_steps or output.save_steps, total, updates)
    return Counts(
        total,
        updates.epoch_after(total),
        -(-total // output.logging_steps),
        _times(output.save_strategy, output.save_steps, total, updates),
        evaluations if eval_rows else 0,
        1 + max(1, evaluations),
    )


def _times(when: When, steps: int, total: int, updates: Updates) -> int:
    """The end counts, whatever its number."""
    every = {"no": 0, "steps": steps, "epoch": updates.per_epoch}[when]
    return -(-total // every) if every else 0


def disk_estimate(
    settings: Settings, model: Anatomy, trainable: int, memory: MemoryEstimate, checkpoints: int, workspace: Workspace
) -> DiskEstimate:
    """What the run's folder will hold: the checkpoints that are kept, and the model at the end."""
    output = settings[OutputOptions]
    saved = _saved_bytes(settings, model, trainable)
    state = 0 if output.save_only_model else memory.gradients + memory.optimizer  # trained weights are stored exactly
    checkpoint = saved + state
    limit = output.save_total_limit
    kept = checkpoints if limit is None else min(checkpoints, limit + output.load_best_model_at_end)
    folder = _existing(workspace.runs)
    return DiskEstimate(checkpoint, kept * checkpoint + saved + _LOG_BYTES, shutil.disk_usage(folder).free)


def _saved_bytes(settings: Settings, model: Anatomy, trainable: int) -> int:
    if settings[FinetuningOptions].finetuning_type in ("full", "freeze"):
        return sum(header.size_bytes for _name, header in model.parts())
    return trainable * (2 if settings[OptimizationOptions].pure_bf16 else 4)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
