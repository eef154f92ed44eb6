"""`finetui train`: a training, started and followed. It goes on when this command ends, however it ends."""

from __future__ import annotations

from collections.abc import Sequence

from core.config.evaluation import PredictStageOptions
from core.config.fields import Section, describe
from core.config.load import Settings
from core.config.predicting import asks_for_prediction
from core.config.sources import TrainingSourceOptions
from core.config.training import TRAINING
from core.i18n import _
from core.workspace import find_workspace
from tui.cli.evaluate import evaluate
from tui.cli.options import OptionsVerb
from tui.cli.starting import StartOptions, config_is_all, follow_or_leave


class TrainOptions(StartOptions):
    """What this command does with a training."""

    plan: bool = False
    """Tell what the training will be, after a try of its longest batch, and start nothing."""


_SECTIONS: tuple[type[Section], ...] = (*TRAINING, TrainOptions, TrainingSourceOptions)


def _train(settings: Settings) -> int:
    command = settings[TrainOptions]
    if config_is_all(settings, command, TRAINING, "train"):
        return 0
    from core.launch.prepare import prepare  # the model catalogue, the data: help does without
    from core.launch.start import start  # the same

    workspace = find_workspace()
    prepared = prepare(settings, workspace)
    if command.plan:
        from tui.cli.planning import show_plan

        return show_plan(prepared, as_json=command.json_records)
    return follow_or_leave(start(prepared), workspace, command, prepared.cautions)


def _instead(words: Sequence[str]) -> OptionsVerb | None:
    """`--do_predict` makes it an evaluation."""
    return evaluate if asks_for_prediction(words, describe(*_SECTIONS, PredictStageOptions)) else None


train = OptionsVerb(
    _train,
    _SECTIONS,
    _("The run goes on when you leave: ctrl+c, a lost connection and the end of this command do not touch it."),
    instead=_instead,
)
