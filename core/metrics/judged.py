"""What models say: how likely the reference was to the one that was asked, what a reward model thinks of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair, Sums


def _loss(pair: Pair, _measuring: Measuring) -> float | None:
    return pair.loss


def _perplexity(pairs: Sequence[Pair], _measuring: Measuring) -> Sums | None:
    if all(pair.loss is None for pair in pairs):
        return None
    return Sums([(pair.loss or 0.0, float(pair.loss is not None)) for pair in pairs], _exponential)


def _exponential(sums: Sequence[float]) -> float:
    loss, rows = sums
    return math.exp(min(loss / rows, 700)) if rows else math.nan


def _reward(pair: Pair, _measuring: Measuring) -> float | None:
    return pair.reward


LOSS = Metric(
    "loss",
    _("loss"),
    _("Mean negative log-likelihood of a reference's token, in nats, averaged over the rows."),
    unit="number",
    better="lower",
    of_row=_loss,
)
PERPLEXITY = Metric(
    "perplexity",
    _("perplexity"),
    _("e to the power of the loss."),
    unit="number",
    better="lower",
    of_sums=_perplexity,
)
REWARD = Metric("reward", _("reward"), _("The reward model's score of the answer."), unit="number", of_row=_reward)
