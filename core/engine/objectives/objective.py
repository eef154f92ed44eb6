"""What a stage minimises over rows that lie ready: the part of a training that knows what its rows mean.

The loop asks for the summed loss of some rows and divides by `Rows.targets`, added up over a whole update: tokens with
loss for a supervised stage, 1 a pair for stages that learn from pairs. So micro-batches and processes change nothing.
PPO, whose rows are made as it goes, has a loop of its own (`core.engine.ppo`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from core.engine.forward.choose import Forward
from core.engine.training.evaluate import Rows


@dataclass(frozen=True)
class Measured:
    """What some rows say about the model."""

    sum: Tensor
    """float32 scalar, with the graph of its gradient while training: the loss, added up over tokens or pairs."""
    units: int
    """Over how many."""
    counted: Mapping[str, float | Tensor] = field(default_factory=dict)
    """What is told besides, by the names of `core.runs.quantities`: added up over the units, without a graph."""


class Objective(Protocol):
    """A stage's loss."""

    @property
    def point_names(self) -> tuple[str, ...]:
        """What is counted at every update."""

    @property
    def evaluation_names(self) -> tuple[str, ...]:
        """What is counted in evaluations."""

    @property
    def ends_at_zero(self) -> bool:
        """Whether a loss of exactly 0 means that nothing is left to learn."""

    def begin(self, forward: Forward) -> None:
        """Find out what has to be known before the first update; the weights are those that the training began with."""

    def measure(self, forward: Forward, rows: Rows, numbers: Sequence[int]) -> Measured:
        """The loss of rows, by their numbers; with a graph while the forward trains, without one in an evaluation."""

    def metrics(self, loss: float, counted: Mapping[str, float]) -> dict[str, float]:
        """What an evaluation tells.

        Args:
            loss: the mean over the units; so is what was counted.
        """

    def end(self, forward: Forward) -> None:
        """Write what is left besides the model of a training that was not stopped; every process calls it."""
