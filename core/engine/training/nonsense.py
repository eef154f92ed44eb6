"""Numbers that no training should go on with, found before they reach the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from core.errors import TrainingError
from core.i18n import _


def refuse_nonsense(
    loss: float, norm: float, *, step: int, may_overflow: bool, ends_at_zero: bool = True, advice: Callable[[], str]
) -> None:
    """Stop before a broken update is made.

    Args:
        loss: of the update.
        norm: its gradients' length.
        may_overflow: whether gradients may be infinite now and then, as float16's are; such updates are left out.
        ends_at_zero: whether a loss of exactly 0 means that nothing is left to learn.
        advice: asked when it ends: what to do, and which checkpoint is left.

    Raises:
        TrainingError: the loss or the gradients are no numbers, or there is nothing to learn.
    """
    diverged = _("{what} is {value} at step {step}: the training has diverged")
    if not math.isfinite(loss):
        raise TrainingError(diverged.format(what=_("the loss"), value=loss, step=step), advice())
    if not math.isfinite(norm) and not may_overflow:
        raise TrainingError(diverged.format(what=_("the length of the gradients"), value=norm, step=step), advice())
    if loss == 0.0 and ends_at_zero:
        raise TrainingError(
            _("the loss is exactly 0 at step {step}: there is nothing left to learn").format(step=step),
            _("fewer epochs are enough, or the answers are not what is trained; {advice}").format(advice=advice()),
        )
