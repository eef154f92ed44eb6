"""What moves slowly from step to step: the price of distance to the reference, and the scores' running spread.

Both are the same numbers in every process, for all of them see all answers; a checkpoint keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_ERROR = 0.2


@dataclass
class KLController:
    """The coefficient of the distance to the reference: fixed, or led towards a target (Ziegler et al. 2019)."""

    coef: float
    adapts: bool = False
    target: float = 6.0
    """Nats an answer."""
    horizon: float = 10000.0
    """Answers over which it moves."""

    def learn(self, kl: float, answers: int) -> None:
        """One more step, whose answers lie so far from the reference on average."""
        if self.adapts and math.isfinite(kl):
            error = max(-_MOST_ERROR, min(_MOST_ERROR, kl / self.target - 1))
            self.coef *= 1 + error * answers / self.horizon


@dataclass
class RunningMoments:
    """Mean and spread of all scores so far, without keeping them (Chan, Golub and LeVeque 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Squared distances from the mean, added up."""

    def learn(self, scores: Sequence[float]) -> None:
        """Some more scores."""
        if not scores:
            return
        here, total = math.fsum(scores) / len(scores), self.count + len(scores)
        apart = here - self.mean
        squares = math.fsum((score - here) ** 2 for score in scores)
        self.squares += squares + apart**2 * self.count * len(scores) / total
        self.mean += apart * len(scores) / total
        self.count = total

    @property
    def spread(self) -> float:
        """The standard deviation; 0 while there is none."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def normalised(self, scores: Sequence[float]) -> list[float]:
        """Scores by how many spreads they lie above the mean; while all have been the same, 0."""
        spread = self.spread
        return [(score - self.mean) / spread if spread > 0 else 0.0 for score in scores]
