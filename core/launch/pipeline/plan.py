"""What a pipeline will do, found out before anything starts: which steps are done, which are gone on with, which begin.

Three looks find that out: ahead, at the steps that begin; back, at what the others were made with; and at the file,
beside the one that the pipeline was started with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.config.pipeline import Pipeline, PipelineStep
from core.config.pipeline_file import read_pipeline
from core.errors import ConfigError, Problem, did_you_mean
from core.i18n import _
from core.launch.machine import Machine
from core.launch.pipeline.ahead import looking_ahead
from core.launch.pipeline.changes import ChangedFile, changed_files, changes, file_caution, file_problem
from core.launch.pipeline.edits import edits, left_behind, other_options
from core.launch.pipeline.standing import (
    StepStanding,
    is_blank,
    pipeline_run,
    standings,
    taken_folders,
)
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
    left_behind: tuple[Caution, ...] = ()
    """Runs that were steps of it and are none now."""

    @property
    def restarted(self) -> tuple[PlannedStep, ...]:
        """The steps whose runs are deleted and made anew."""
        return tuple(planned for planned in self.steps if planned.what == "restart")

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(planned.what == "keep" for planned in self.steps)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for of steps by their names."""

    restart: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def plan_pipeline(
    pipeline: Pipeline,
    workspace: Workspace,
    *,
    restart: Sequence[str] = (),
    keep: Sequence[str] = (),
    machine: Machine | None = None,
) -> PipelinePlan:
    """Look at everything that a pipeline stands on.

    Args:
        restart: steps to make anew, with all that stand on them.
        keep: steps whose runs are taken as they are, though files that they read have changed.
        machine: what this machine has, for tests.

    Raises:
        ConfigError: all that stands against it.
    """
    return _Planning(pipeline, workspace, Asked(tuple(restart), tuple(keep)), machine).plan()


class _Planning:
    def __init__(self, pipeline: Pipeline, workspace: Workspace, asked: Asked, machine: Machine | None) -> None:
        self._pipeline, self._workspace, self._machine = pipeline, workspace, machine
        self._restart, self._keep = pipeline.standing_on(asked.restart), asked.keep
        self._run = pipeline_run(pipeline.name, workspace)
        self._problems = [
            Problem(f"--{option}", _("there is no step {name!r}").format(name=name), did_you_mean(name, self._names))
            for option, names in (("restart", asked.restart), ("keep", asked.keep))
            for name in names
            if name not in self._names
        ]
        self._cautions: dict[str, list[Caution]] = {name: [] for name in self._names}

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self._pipeline.steps)

    def plan(self) -> PipelinePlan:
        exists = self._is_pipeline()
        active = exists and is_active(state_of(self._run))
        found = standings(self._pipeline, self._workspace)
        self._problems += taken_folders(self._pipeline, self._workspace)
        before = _as_last_started(self._run) if exists else None
        if active:
            self._problems += [*self._not_now(), *(edits(before, self._pipeline) if before is not None else ())]
        else:
            self._look_back(found, before)
        whats = [self._what(standing) for standing in found]
        self._look_ahead(found, whats)
        if self._problems:
            raise ConfigError(dict.fromkeys(self._problems))
        steps = tuple(
            PlannedStep(standing, what, tuple(self._cautions[standing.step.name]))
            for standing, what in zip(found, whats, strict=True)
        )
        behind = tuple(left_behind(self._pipeline, found, self._workspace)) if exists else ()
        return PipelinePlan(self._pipeline, self._run, self._workspace, steps, exists, active, behind)

    def _look_ahead(self, found: Sequence[StepStanding], whats: Sequence[What]) -> None:
        """What is to be said of each step that begins; what stands against one becomes a problem."""
        pairs = list(zip(found, whats, strict=True))
        begin = [standing.step.name for standing, what in pairs if what in ("begin", "restart")]
        made = [standing.step.name for standing, what in pairs if what == "keep"]
        with looking_ahead(self._pipeline, made, self._workspace, self._machine) as look:
            for name in begin:
                problems, cautions = look(name)
                self._problems += problems
                self._cautions[name] += cautions

    def _is_pipeline(self) -> bool:
        if not self._run.path.exists():
            return False
        if read_launch(self._run).kind == PIPELINE:
            return True
        if not is_blank(self._run):
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

    def _not_now(self) -> Iterator[Problem]:
        """What cannot be done to a pipeline that is going on."""
        if self._restart:
            hint = _("stop it first: finetui pipeline {name} --stop").format(name=self._pipeline.name)
            yield Problem("--restart", _("the pipeline is still going on"), hint)

    def _look_back(self, found: Sequence[StepStanding], before: Pipeline | None) -> None:
        """What stands against keeping the runs that are there, and what should be said where nothing does."""
        for name, caution in other_options(before, found) if before is not None else ():
            self._cautions[name].append(caution)
        stale: dict[ChangedFile, list[PipelineStep]] = {}
        left = [standing for standing in found if standing.step.name not in self._restart]
        for standing in left:
            if standing.state is not None:
                self._problems += changes(self._pipeline, standing, left)
                for file in self._stale_by(standing):
                    stale.setdefault(file, []).append(standing.step)
        for standing in found:
            if standing not in left and standing.state is not None and is_active(standing.state):
                told = _("the run of {step} is still going on").format(step=standing.step.name)
                hint = _("stop it first: finetui runs stop {run}").format(run=inert_line(standing.run.name))
                self._problems.append(Problem("--restart", told, hint))
        self._problems += (file_problem(self._pipeline, steps, file) for file, steps in stale.items())

    def _stale_by(self, standing: StepStanding) -> Iterator[ChangedFile]:
        """Files that stand against keeping a run; of the others it is said that they changed."""
        name = standing.step.name
        for file in changed_files(standing.step, standing.run, self._workspace):
            if file.change != "gone" and name not in self._keep:
                yield file
            else:
                self._cautions[name].append(file_caution(file))


def _as_last_started(run: RunDirectory) -> Pipeline | None:
    """What a pipeline's folder says; nothing where nobody can read that any more."""
    with contextlib.suppress(ConfigError):
        return read_pipeline(run.config)
    return None
