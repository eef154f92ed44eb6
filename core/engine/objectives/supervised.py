"""Stage sft: the cross entropy of answers' tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core.engine.batches.batch import Batch
from core.engine.forward.choose import Forward
from core.engine.objectives.objective import Measured
from core.engine.training.evaluate import Rows


class Supervised:
    """Learns answers token by token."""

    point_names: tuple[str, ...] = ()
    evaluation_names: tuple[str, ...] = ("accuracy",)
    ends_at_zero = True

    def begin(self, forward: Forward) -> None:
        """Nothing has to be known."""

    def end(self, forward: Forward) -> None:
        """Nothing is left besides."""

    def measure(self, forward: Forward, rows: Rows, numbers: Sequence[int]) -> Measured:
        loss = forward.loss(Batch([rows.row(number) for number in numbers]))
        return Measured(loss.sum, loss.targets, {"accuracy": loss.correct})

    def metrics(self, loss: float, counted: Mapping[str, float]) -> dict[str, float]:
        """Perplexity, and how often the likeliest token is the right one."""
        perplexity = math.exp(min(loss, 700.0))  # e^710 is no float any more
        return {"loss": loss, "perplexity": perplexity, **counted}
