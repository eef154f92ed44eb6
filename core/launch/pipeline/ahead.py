"""A look at steps before they begin: each is prepared like any run, what earlier ones will have made taken as given.

So a misspelt data set of the last step is told now, and not after a night of training. In the place of what earlier
steps will have made are folders that look like it; what would only repeat an earlier step's problem is not told twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from core.config.change import replaced
from core.config.load import Settings
from core.config.pipeline import Pipeline, PipelineStep, Reference, with_outputs
from core.errors import ConfigError, Problem
from core.i18n import _
from core.launch.evaluation import prepare_evaluation
from core.launch.machine import Machine
from core.launch.pipeline.stand_ins import StandIn, make_stand_in
from core.launch.pipeline.standing import output_of
from core.launch.prepare import prepare
from core.launch.start import PreparedRun
from core.runs.catalog import called
from core.runs.launch_file import Caution
from core.workspace import Workspace

Look: TypeAlias = Callable[[str], tuple[list[Problem], list[Caution]]]
"""A step's name → what stands against it, and what is to be said of it."""


def prepare_step(
    step: PipelineStep, settings: Settings, workspace: Workspace, machine: Machine | None = None
) -> PreparedRun:
    """Prepare a step as the run that it is.

    Raises:
        ConfigError: all that stands against it.
    """
    if step.verb == "train":
        return prepare(settings, workspace, machine=machine)
    return prepare_evaluation(settings, workspace, machine=machine)


@contextmanager
def looking_ahead(
    pipeline: Pipeline, made: Sequence[str], workspace: Workspace, machine: Machine | None
) -> Iterator[Look]:
    """Have steps looked at, while the folders that stand in for others are there.

    Args:
        made: the steps whose runs are there and stay.
    """
    with tempfile.TemporaryDirectory(prefix="finetui-pipeline-") as scratch:
        yield _Ahead(pipeline, made, workspace, machine, Path(scratch)).look


class _Ahead:
    def __init__(
        self, pipeline: Pipeline, made: Sequence[str], workspace: Workspace, machine: Machine | None, scratch: Path
    ) -> None:
        self._pipeline, self._workspace, self._machine, self._scratch = pipeline, workspace, machine, scratch
        self._stand_ins: dict[str, StandIn] = {}
        needed = {name for step in pipeline.steps for name in step.after}
        for step in pipeline.steps:
            if step.name in needed and step.name not in made:
                settings, folder = with_outputs(step, self._place), scratch / step.name
                self._stand_ins[step.name] = make_stand_in(settings, folder, workspace)

    def look(self, name: str) -> tuple[list[Problem], list[Caution]]:
        step = next(step for step in self._pipeline.steps if step.name == name)
        try:
            prepared = self._prepared(step)
        except ConfigError as error:
            baseless = [self._stand_ins[one] for one in step.after if self._lacks_model(one)]
            own = [found for found in error.problems if not any(_follows(found, step, one) for one in baseless)]
            return [Problem(found.where, self._told(found.what), self._told(found.hint)) for found in own], []
        cautions = [Caution(self._told(one.message), self._told(one.hint)) for one in prepared.cautions]
        return [], [*cautions, *_unsaved(self._pipeline, step)]

    def _prepared(self, step: PipelineStep) -> PreparedRun:
        # Its own folder may hold the run that it replaces.
        made = {"output_dir": (str(self._scratch / ".made" / step.name), "")}
        settings = replaced(with_outputs(step, self._place), made)
        return prepare_step(step, settings, self._workspace, self._machine)

    def _place(self, reference: Reference) -> str:
        if reference.step in self._stand_ins:
            return str(self._stand_ins[reference.step].folder)
        return output_of(self._pipeline, reference, self._workspace)

    def _told(self, text: str) -> str:
        """Steps by their names instead of the folders that stand in for what they will have made."""
        for name, stand_in in self._stand_ins.items():
            for folder in (str(stand_in.folder), called(str(stand_in.folder))):
                text = text.replace(folder, f"${{{name}}}")
        return text

    def _lacks_model(self, name: str) -> bool:
        return name in self._stand_ins and self._stand_ins[name].model is None


def _follows(problem: Problem, step: PipelineStep, stand_in: StandIn) -> bool:
    """Whether a problem is only that an earlier step has no model: of what that will have made, or of its base."""
    if str(stand_in.folder) in problem.what + problem.hint:
        return True
    guessed = step.verb == "eval" and step.settings.origins["model_name_or_path"].source == "default"
    return guessed and problem.where == "model_name_or_path"


def _unsaved(pipeline: Pipeline, step: PipelineStep) -> Iterator[Caution]:
    """Checkpoints that are named and might never be, or not be for long."""
    for reference in step.references:
        if reference.checkpoint is None:
            continue
        earlier = next(each for each in pipeline.steps if each.name == reference.step)
        values, named = earlier.values, f"${{{reference.step}@{reference.checkpoint}}}"
        last = reference.checkpoint == values["max_steps"]
        if values["save_strategy"] == "steps" and reference.checkpoint % values["save_steps"] and not last:
            told = _("{named}: {step} saves every {count} steps")
            yield Caution(told.format(named=named, step=earlier.name, count=values["save_steps"]))
        if values["save_total_limit"] and not last:
            told = _("{named} may be deleted before it is used: save_total_limit keeps the newest {count}")
            yield Caution(told.format(named=named, count=values["save_total_limit"]))
