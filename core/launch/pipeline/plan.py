"""What a pipeline will do, found out before anything starts: which steps are done, which are gone on with, which begin.

A step that begins is prepared like any run, with what earlier steps will have made taken as given; so a misspelt data
set of the last step is told now, and not after a night of training.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from core.config.change import replaced
from core.config.fields import shown
from core.config.load import Settings
from core.config.pipeline import Pipeline, PipelineStep, Reference, with_outputs
from core.config.pipeline_file import read_pipeline
from core.errors import ConfigError, Problem, did_you_mean
from core.i18n import _
from core.launch.evaluation import prepare_evaluation
from core.launch.machine import Machine
from core.launch.pipeline.stand_ins import make_stand_in
from core.launch.pipeline.standing import (
    StepStanding,
    output_of,
    pipeline_run,
    standings,
    taken_folders,
)
from core.launch.prepare import prepare
from core.launch.start import PreparedRun
from core.runs.catalog import is_run
from core.runs.launch_file import Caution, read_launch
from core.runs.rundir import PIPELINE, RunDirectory
from core.runs.state import is_active, state_of
from core.untrusted import inert_line
from core.workspace import Workspace

What: TypeAlias = Literal["keep", "join", "go_on", "begin", "restart"]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, and what becomes of it."""

    standing: StepStanding
    what: What
    """keep: it is finished; join: its run goes on already; go_on: from where it ended; restart: its run is deleted."""
    cautions: tuple[Caution, ...] = ()

    @property
    def step(self) -> PipelineStep:
        return self.standing.step


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """A pipeline that can be started, gone on with, or looked at."""

    pipeline: Pipeline
    run: RunDirectory
    workspace: Workspace
    steps: tuple[PlannedStep, ...]
    exists: bool
    """Whether it was started before."""
    active: bool
    """Whether it is being made right now."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(planned.what == "keep" for planned in self.steps)


def plan_pipeline(
    pipeline: Pipeline, workspace: Workspace, *, restart: Sequence[str] = (), machine: Machine | None = None
) -> PipelinePlan:
    """Look at everything that a pipeline stands on.

    Args:
        restart: steps to make anew, with all that stand on them.
        machine: what this machine has, for tests.

    Raises:
        ConfigError: all that stands against it.
    """
    return _Planning(pipeline, workspace, restart, machine).plan()


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


class _Planning:
    def __init__(
        self, pipeline: Pipeline, workspace: Workspace, restart: Sequence[str], machine: Machine | None
    ) -> None:
        self._pipeline, self._workspace, self._machine = pipeline, workspace, machine
        self._restart = pipeline.standing_on(restart)
        self._run = pipeline_run(pipeline.name, workspace)
        self._problems = [
            Problem("--restart", _("there is no step {name!r}").format(name=name), did_you_mean(name, self._names))
            for name in restart
            if name not in self._names
        ]

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self._pipeline.steps)

    def plan(self) -> PipelinePlan:
        exists = self._is_pipeline()
        active = exists and is_active(state_of(self._run))
        found = standings(self._pipeline, self._workspace)
        self._problems += taken_folders(self._pipeline, self._workspace)
        if exists:
            self._problems += self._changes(found)
        if active and self._restart:
            hint = _("stop it first: finetui pipeline {name} --stop").format(name=self._pipeline.name)
            self._problems.append(Problem("--restart", _("the pipeline is still going on"), hint))
        whats = [self._what(standing) for standing in found]
        cautions = dict(self._prepared(found, whats))
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        steps = tuple(
            PlannedStep(standing, what, cautions.get(standing.step.name, ()))
            for standing, what in zip(found, whats, strict=True)
        )
        return PipelinePlan(self._pipeline, self._run, self._workspace, steps, exists, active)

    def _is_pipeline(self) -> bool:
        if not self._run.path.exists():
            return False
        if read_launch(self._run).kind == PIPELINE:
            return True
        if is_run(self._run.path) or any(self._run.path.iterdir()):
            what = _("{path} is there already, and is no pipeline").format(path=inert_line(str(self._run.path)))
            self._problems.append(Problem("name", what, _("give the pipeline another name")))
        return False

    def _what(self, standing: StepStanding) -> What:
        if standing.state is None:
            return "begin"
        if standing.step.name in self._restart:
            return "restart"
        if standing.done:
            return "keep"
        return "join" if is_active(standing.state) else "go_on"

    # --- what was before ----------------------------------------------------------------------------------------

    def _changes(self, found: Sequence[StepStanding]) -> Iterator[Problem]:
        """Options that differ from those that a step's run was started with, unless it is made anew."""
        before = {step.name: step for step in read_pipeline(self._run.config).steps}
        absent = {standing.step.name for standing in found if standing.state is None}
        for standing in found:
            step = standing.step
            if standing.state is None or step.name in self._restart:
                continue
            if step.name in before:
                yield from self._differences(before[step.name], step)
            for name in sorted(absent.intersection(step.after) - set(self._restart)):
                what = _("stands on {name}, whose run is gone").format(name=name)
                hint = _("make both anew: --restart {name}").format(name=name)
                yield Problem(step.where, what, hint)

    def _differences(self, before: PipelineStep, step: PipelineStep) -> Iterator[Problem]:
        again = ", ".join(self._pipeline.standing_on([step.name]))
        hint = _("put it back, or make {steps} anew: --restart {step}").format(steps=again, step=step.name)
        for name, value in step.values.items():
            if name in before.values and value != before.values[name]:
                was = shown(before.values[name]) or _("not given")
                where = step.settings.origins[name].where or f"{step.where}.{name}"
                yield Problem(where, _("was {value} when {step} was made").format(value=was, step=step.name), hint)

    # --- what will be -------------------------------------------------------------------------------------------

    def _prepared(
        self, found: Sequence[StepStanding], whats: Sequence[What]
    ) -> Iterator[tuple[str, tuple[Caution, ...]]]:
        """What is to be said of each step that begins; what stands against one becomes a problem."""
        with tempfile.TemporaryDirectory(prefix="finetui-pipeline-") as scratch:
            places = self._places(found, whats, Path(scratch))
            for standing, what in zip(found, whats, strict=True):
                if what in ("begin", "restart"):
                    with self._told_without(places):
                        prepared = self._look_at(standing.step, places, Path(scratch))
                        yield standing.step.name, (*prepared.cautions, *_unsaved(self._pipeline, standing.step))

    def _places(self, found: Sequence[StepStanding], whats: Sequence[What], scratch: Path) -> dict[str, Path]:
        """Where what each step makes is looked at: its run, or what stands in for it."""
        needed = {name for step in self._pipeline.steps for name in step.after}
        places = {}
        for standing, what in zip(found, whats, strict=True):
            name = standing.step.name
            if name in needed and what != "keep":
                places[name] = scratch / "runs" / name
                make_stand_in(standing.step, places[name], self._workspace)
        return places

    def _look_at(self, step: PipelineStep, places: Mapping[str, Path], scratch: Path) -> PreparedRun:
        def place(reference: Reference) -> str:
            if reference.step in places:
                return str(places[reference.step])
            return output_of(self._pipeline, reference, self._workspace)

        # Its own folder may hold the run that it replaces.
        settings = replaced(with_outputs(step, place), {"output_dir": (str(scratch / "made" / step.name), "")})
        return prepare_step(step, settings, self._workspace, self._machine)

    @contextlib.contextmanager
    def _told_without(self, places: Mapping[str, Path]) -> Iterator[None]:
        """Problems name the step that a stand-in stands for."""
        try:
            yield
        except ConfigError as error:
            for problem in error.problems:
                what, hint = problem.what, problem.hint
                for name, path in places.items():
                    what, hint = (text.replace(str(path), f"${{{name}}}") for text in (what, hint))
                self._problems.append(Problem(problem.where, what, hint))


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
