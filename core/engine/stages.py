"""Which loop a stage has."""

from __future__ import annotations

from typing import assert_never

from core.config.preference import PreferenceOptions
from core.config.stages import WITHOUT_REFERENCE
from core.engine.objectives.preferring import Preferring
from core.engine.objectives.reference_table import ReferenceTable
from core.engine.objectives.rewarding import Rewarding
from core.engine.objectives.row_loop import RowLoop
from core.engine.objectives.supervised import Supervised
from core.engine.ppo.loop import PPOLoop
from core.engine.training.loop import Loop
from core.engine.training.work import Work


def make_loop(work: Work) -> Loop:
    """The loop of a run's stage.

    Raises:
        FinetuiError: the stage lacks something that it needs.
    """
    match work.stage:
        case "sft":
            return RowLoop(work, Supervised())
        case "rm":
            return RowLoop(work, Rewarding(work))
        case "dpo":
            options = work.settings[PreferenceOptions]
            table = None if options.pref_loss in WITHOUT_REFERENCE else ReferenceTable(work)
            return RowLoop(work, Preferring(options, table))
        case "ppo":
            return PPOLoop(work)
        case _:
            assert_never(work.stage)
