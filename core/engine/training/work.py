"""What a training is made of, put together: the loop takes it and asks nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.optimization import OptimizationOptions
from core.config.output import OutputOptions
from core.engine.batches.order import Updates
from core.engine.control import Control
from core.engine.forward.choose import Forward
from core.engine.training.data import Data
from core.engine.training.evaluate import EvaluationSet, Rows
from core.engine.training.journal import Journal
from core.engine.training.judge import Judge
from core.engine.training.probes import Prober
from core.engine.training.processes import Processes
from core.engine.training.progress import Effective
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.tunable import Tunable
from core.runs.quantities import TrainingStage
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


class Remembered(Protocol):
    """What a stage has to find again after a resume, besides weights, optimiser and random generators."""

    def state_dict(self) -> Mapping[str, Any]:
        """Plain numbers, texts, lists, dictionaries and tensors: no code is run when they are read."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> object: ...


@dataclass
class Work:
    """A training, ready to begin or to go on."""

    run: RunDirectory
    settings: Settings
    workspace: Workspace
    base: TrainingBase
    tunable: Tunable
    """Of stages rm and ppo with a value head: a `HeadedTunable`."""
    make_forward: Callable[[bool], Forward]
    """Makes the forward, with gradient checkpointing or without."""
    effective: Effective
    optimizer: Optimizer
    schedule: LRScheduler
    data: Data
    trained_tokens: int
    updates: Updates
    total_steps: int
    judge: Judge
    prober: Prober | None
    processes: Processes
    journal: Journal
    control: Control
    resumed_from: Path | None = None
    memory: Remembered | None = None
    """Saved in checkpoints and taken up from them; the stage's loop puts it here before it begins."""

    @property
    def stage(self) -> TrainingStage:
        return self.settings[FinetuningOptions].stage

    @property
    def optimization(self) -> OptimizationOptions:
        return self.settings[OptimizationOptions]

    @property
    def output(self) -> OutputOptions:
        return self.settings[OutputOptions]

    @property
    def rows(self) -> Rows:
        return self.data.rows

    @property
    def evaluation_sets(self) -> Sequence[EvaluationSet]:
        return self.data.evaluation_sets

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
