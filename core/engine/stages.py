"""Which loop a stage has."""

from __future__ import annotations

from typing import assert_never

from core.engine.objectives.supervised import Supervised
from core.engine.training.loop import Loop
from core.engine.training.row_loop import RowLoop
from core.engine.training.work import Work
from core.errors import UsageError
from core.i18n import _


def make_loop(work: Work) -> Loop:
    """The loop of a run's stage.

    Raises:
        FinetuiError: the stage lacks something that it needs.
    """
    match work.stage:
        case "sft":
            return RowLoop(work, Supervised())
        case "rm" | "dpo" | "ppo":
            raise UsageError(_("not yet"))
        case _:
            assert_never(work.stage)
