"""What a training is made of, put together: the loop takes it and asks nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from core.config.optimization import OptimizationOptions
from core.config.output import OutputOptions
from core.engine.batches.order import Updates
from core.engine.control import Control
from core.engine.forward.choose import Forward
from core.engine.training.evaluate import EvaluationSet, Rows
from core.engine.training.journal import Journal
from core.engine.training.judge import Judge
from core.engine.training.probes import Prober
from core.engine.training.processes import Processes
from core.engine.training.progress import Effective
from core.engine.tuning.tunable import Tunable
from core.runs.rundir import RunDirectory


@dataclass
class Work:
    """A training, ready to begin or to go on."""

    run: RunDirectory
    optimization: OptimizationOptions
    output: OutputOptions
    tunable: Tunable
    make_forward: Callable[[bool], Forward]
    """Makes the forward, with gradient checkpointing or without."""
    effective: Effective
    optimizer: Optimizer
    schedule: LRScheduler
    rows: Rows
    trained_tokens: int
    updates: Updates
    total_steps: int
    evaluation_sets: Sequence[EvaluationSet]
    judge: Judge
    prober: Prober | None
    processes: Processes
    journal: Journal
    control: Control
    resumed_from: Path | None = None

    @property
    def steps_per_evaluation(self) -> int:
        """Updates between two evaluations; 0: none while training."""
        return self._every(self.output.eval_strategy or "steps", self.output.eval_steps or self.output.save_steps)

    @property
    def steps_per_checkpoint(self) -> int:
        """Updates between two checkpoints; 0: none while training."""
        return self._every(self.output.save_strategy, self.output.save_steps)

    def _every(self, strategy: str, steps: int) -> int:
        return {"no": 0, "steps": steps, "epoch": self.updates.per_epoch}[strategy]
