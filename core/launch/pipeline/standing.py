"""Where a pipeline's steps are: each is an ordinary run in a folder of its own, and the folder tells how far it is.

Nothing is kept beside. A step's run names its pipeline in `launch.json`, with the options and files that it was started
with; so a kill at any instant leaves nothing that could mislead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config.load import Settings
from core.config.pipeline import Pipeline, PipelineStep, Reference, with_outputs
from core.errors import Problem
from core.i18n import _
from core.launch.naming import run_folder
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, is_active, state_of
from core.untrusted import inert_line
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StepStanding:
    """A step and its run."""

    step: PipelineStep
    run: RunDirectory
    state: RunState | None
    """None while there is no run."""

    @property
    def done(self) -> bool:
        return self.state == "finished"


def pipeline_run(name: str, workspace: Workspace) -> RunDirectory:
    """The folder of a pipeline of that name."""
    return RunDirectory(workspace.runs / name)


def step_run(pipeline: Pipeline, step: PipelineStep, workspace: Workspace) -> RunDirectory:
    """The folder of a step's run: its own output_dir, or PIPELINE-STEP in runs/."""
    given = step.values["output_dir"]
    return RunDirectory(run_folder(given or f"{pipeline.name}-{step.name}", workspace))


def standing_of(pipeline: Pipeline, step: PipelineStep, workspace: Workspace) -> StepStanding:
    """Look at a step's folder."""
    run = step_run(pipeline, step, workspace)
    return StepStanding(step, run, state_of(run) if _is_of(pipeline, step, run) else None)


def standings(pipeline: Pipeline, workspace: Workspace) -> tuple[StepStanding, ...]:
    """All steps, in their order."""
    return tuple(standing_of(pipeline, step, workspace) for step in pipeline.steps)


def taken_folders(pipeline: Pipeline, workspace: Workspace) -> Iterator[Problem]:
    """Folders of steps that hold something else, or are two steps'."""
    own = pipeline_run(pipeline.name, workspace).path.resolve()
    seen: dict[Path, str] = {}
    for step in pipeline.steps:
        run = step_run(pipeline, step, workspace)
        path, where = run.path.resolve(), step.settings.origins["output_dir"].where or step.where
        if path in seen:
            what = _("its folder is that of {step} too: {path}").format(step=seen[path], path=inert_line(str(path)))
            yield Problem(where, what, _("give it another output_dir"))
        elif path == own or own in path.parents or path in own.parents:
            what = _("its folder is not apart from the pipeline's own: {path}").format(path=inert_line(str(path)))
            yield Problem(where, what, _("give it another output_dir"))
        elif nested := [name for other, name in seen.items() if path in other.parents or other in path.parents]:
            what = _("its folder and that of {step} lie one in the other: {path}")
            told = what.format(step=nested[0], path=inert_line(str(path)))
            yield Problem(where, told, _("give it another output_dir"))
        elif not _is_of(pipeline, step, run) and not is_blank(run):
            what = _("{path} is there already, and is not of this pipeline").format(path=inert_line(str(run.path)))
            yield Problem(where, what, _("give the pipeline another name, or the step another output_dir"))
        seen[path] = step.name


def is_blank(run: RunDirectory) -> bool:
    """Whether a folder is not there, empty, or holds what a start that was killed leaves: options, and no run."""
    if not run.path.exists():
        return True
    return run.path.is_dir() and {path.name for path in run.path.iterdir()} <= {run.config.name}


def ending_run(pipeline: Pipeline, workspace: Workspace) -> RunDirectory | None:
    """What was asked to end and has not: the pipeline itself, or the run of a step."""
    steps = (standing.run for standing in standings(pipeline, workspace) if standing.state is not None)
    own = pipeline_run(pipeline.name, workspace)
    for run in (own, *steps):
        if "stop" in run.wishes() and is_active(state_of(run)):
            return run
    return None


def outputs_in_place(pipeline: Pipeline, step: PipelineStep, workspace: Workspace) -> Settings:
    """A step's settings with the folders of earlier steps' runs in the place of their names."""
    return with_outputs(step, lambda reference: output_of(pipeline, reference, workspace))


def output_of(pipeline: Pipeline, reference: Reference, workspace: Workspace) -> str:
    """The name of what an earlier step made, as options take it: a folder, or FOLDER@STEP."""
    earlier = next(step for step in pipeline.steps if step.name == reference.step)
    path = str(step_run(pipeline, earlier, workspace).path)
    return path if reference.checkpoint is None else f"{path}@{reference.checkpoint}"


def _is_of(pipeline: Pipeline, step: PipelineStep, run: RunDirectory) -> bool:
    launch = read_launch(run)
    return (launch.pipeline, launch.pipeline_step) == (pipeline.name, step.name)
