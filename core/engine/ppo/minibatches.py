"""In which order a step's answers are learnt from: passes over all of them, minibatches, micro-batches.

A minibatch is one move of the optimiser: as many answers as an update of any other stage has rows. Its order follows
from the seed, the step and the pass alone, so a resumed run needs no state of it, and every process knows all of it and
computes its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PASSES = 0x99F0
"""Keeps these draws apart from those of the rows' order, which come from the same seed."""


@dataclass(frozen=True)
class Minibatches:
    """How answers are divided."""

    per_device: int
    accumulation: int = 1
    world: int = 1
    rank: int = 0
    seed: int = 42
    micro_batch: int = 0
    """Answers computed at once; 0: `per_device`."""

    @property
    def answers(self) -> int:
        """Of a minibatch, all processes together."""
        return self.per_device * self.accumulation * self.world

    def of_pass(self, count: int, step: int, number: int) -> list[list[int]]:
        """The minibatches of a pass over so many answers, as their numbers; the last takes what is left."""
        order = np.random.default_rng([self.seed, _PASSES, step, number]).permutation(count).tolist()
        return [order[start : start + self.answers] for start in range(0, count, self.answers)]

    def micro(self, minibatch: list[int]) -> list[list[int]]:
        """This process's micro-batches of a minibatch; the last minibatch of a pass may have none for it."""
        mine, size = minibatch[self.rank :: self.world], self.micro_batch or self.per_device
        return [mine[start : start + size] for start in range(0, len(mine), size)]
