"""How far a training is: all that a checkpoint has to remember besides tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.engine.training.judge import Standing

SCHEMA = 1


@dataclass
class Window:
    """What has happened since the last point of the curves."""

    updates: int = 0
    loss: float = 0.0
    """Sums over the updates; so is the next."""
    grad_norm: float = 0.0
    norms: int = 0
    """Updates whose gradients had a length: float16 may overflow."""
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    """What a stage tells besides, by name: sums over the updates that had a number for it."""
    told: dict[str, int] = field(default_factory=dict)
    """How many updates that were."""

    @property
    def means(self) -> dict[str, float]:
        """What a stage tells besides, as means over the updates."""
        return {name: total / self.told[name] for name, total in self.metrics.items()}


@dataclass
class Progress:
    """Counters over all segments of a run; the loop moves them on."""

    step: int = 0
    rows: int = 0
    tokens: int = 0
    loss: float = 0.0
    """Sum over the updates."""
    elapsed: float = 0.0
    standing: Standing = field(default_factory=Standing)
    window: Window = field(default_factory=Window)
    evaluated_at: int = -1
    """The step of the last evaluation."""

    def count(
        self,
        *,
        loss: float,
        grad_norm: float,
        rows: int,
        tokens: int,
        seconds: float,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """One more update."""
        self.step += 1
        self.rows += rows
        self.tokens += tokens
        self.loss += loss
        window = self.window
        window.updates += 1
        window.loss += loss
        window.rows += rows
        window.tokens += tokens
        window.seconds += seconds
        if math.isfinite(grad_norm):
            window.grad_norm += grad_norm
            window.norms += 1
        for name, value in (metrics or {}).items():
            if math.isfinite(value):
                window.metrics[name] = window.metrics.get(name, 0.0) + value
                window.told[name] = window.told.get(name, 0) + 1


@dataclass(frozen=True)
class Effective:
    """What was decided for this machine, and what the last bits of the numbers depend on."""

    threads: int
    micro_batch: int
    checkpointing: bool
    compiled: bool
    processes: int = 1
    dtype: str = ""
    """Of the base's weights; empty in checkpoints that do not say."""


@dataclass(frozen=True)
class Place:
    """Which data a run learns from; a checkpoint of other data is not gone on from."""

    rows: int
    tokens: int
    targets: int
    rows_per_update: int


@dataclass(frozen=True)
class TrainerState:
    """A checkpoint's `trainer/state.json`."""

    saved_at: float
    """Seconds since the epoch; the newest checkpoint is the one that was written last."""
    total_steps: int
    progress: Progress
    effective: Effective
    place: Place
    schema: int = SCHEMA
