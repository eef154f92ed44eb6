"""What a reward model makes of pairs: whether it puts the better answer first, and how far.

A draw is half right: a model that gives everything the same score tells nothing, and gets 50.
"""

from __future__ import annotations

import math

from core.i18n import _
from core.metrics.metric import Measuring, Metric, Pair

NAMES = ("accuracy", "margin", "pair_loss", "chosen_reward", "rejected_reward")
"""In the order of showing."""


def margin_of(pair: Pair) -> float | None:
    """How far the better answer is ahead; None where there are no two scores."""
    return None if pair.chosen is None or pair.rejected is None else pair.chosen - pair.rejected


def _accuracy(pair: Pair, _measuring: Measuring) -> float | None:
    margin = margin_of(pair)
    return None if margin is None else 50.0 * ((margin > 0) + (margin >= 0))


def _margin(pair: Pair, _measuring: Measuring) -> float | None:
    return margin_of(pair)


def _loss(pair: Pair, _measuring: Measuring) -> float | None:
    """log(1 + e^−m), without an overflow for any m."""
    margin = margin_of(pair)
    return None if margin is None else max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))


ACCURACY = Metric(
    "accuracy",
    _("accuracy"),
    _("The share of pairs whose better answer has the higher score; a draw counts half."),
    of_row=_accuracy,
)
MARGIN = Metric(
    "margin",
    _("margin"),
    _("The better answer's score less the worse one's."),
    unit="number",
    of_row=_margin,
)
PAIR_LOSS = Metric(
    "pair_loss",
    _("pair loss"),
    _("What the training of a reward model minimises: -log sigmoid of the margin."),
    unit="number",
    better="lower",
    of_row=_loss,
)
CHOSEN_REWARD = Metric(
    "chosen_reward",
    _("better"),
    _("The better answer's score."),
    unit="number",
    better="",
    of_row=lambda pair, _measuring: pair.chosen,
)
REJECTED_REWARD = Metric(
    "rejected_reward",
    _("worse"),
    _("The worse answer's score."),
    unit="number",
    better="",
    of_row=lambda pair, _measuring: pair.rejected,
)
