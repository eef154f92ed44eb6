"""Starting a pipeline, and going on with it. It is a run like others: it lives on when whoever started it ends.

Of two that start one at the same instant, one has it: they go one after the other, and the second finds it going on.
What is made anew is deleted from the last step backwards, so that a kill in between leaves no step without those that
it stands on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Iterator

from core.config.pipeline import as_text
from core.errors import RunError
from core.i18n import _
from core.launch.folder import make_folder, refuse_active
from core.launch.local import launch_run, remove, start_segment
from core.launch.pipeline.plan import PipelinePlan, PlannedStep
from core.launch.pipeline.standing import is_blank
from core.launch.record import recorded
from core.runs.launch_file import Launch, QueuedRun, read_launch
from core.runs.rundir import PIPELINE, RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace, write_text

_GRACE_SECONDS = 180.0


def start_pipeline(plan: PipelinePlan) -> RunDirectory:
    """Start a pipeline, or go on with it. Returns at once; it goes on alone.

    Raises:
        RunError: it cannot be started.
    """
    run = plan.run
    try:
        with _one_at_a_time(plan.workspace):
            start = _go_on if plan.exists else _begin
            start(plan)
    except OSError as error:
        told = _("cannot write {path}: {reason}")
        reason = error.strerror or str(error)
        raise RunError(told.format(path=inert_line(str(error.filename or run.path)), reason=reason)) from error
    return run


@contextlib.contextmanager
def _one_at_a_time(workspace: Workspace) -> Iterator[None]:
    workspace.runs.mkdir(parents=True, exist_ok=True)
    folder = os.open(workspace.runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a shared disk without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _begin(plan: PipelinePlan) -> None:
    if plan.run.launch.exists():
        name = inert_line(plan.run.name)
        told = _("the pipeline {name} was started by somebody else just now").format(name=name)
        raise RunError(told, _("see it: finetui pipeline {name}").format(name=name))
    _delete_what_is_made_anew(plan)
    if is_blank(plan.run):
        plan.run.config.unlink(missing_ok=True)  # a start that was killed
    make_folder(plan.run, plan.workspace, overwrite=False)
    launch_run(plan.run, as_text(plan.pipeline), _launch(plan), plan.workspace)


def _go_on(plan: PipelinePlan) -> None:
    refuse_active(plan.run)
    _delete_what_is_made_anew(plan)
    write_text(plan.run.config, as_text(plan.pipeline))
    segment = read_launch(plan.run).segment + 1
    start_segment(plan.run, dataclasses.replace(_launch(plan), segment=segment))


def _delete_what_is_made_anew(plan: PipelinePlan) -> None:
    for planned in reversed(plan.restarted):
        remove(planned.standing.run, plan.workspace)


def _launch(plan: PipelinePlan) -> Launch:
    models = dict.fromkeys(str(planned.step.values["model_name_or_path"]) for planned in plan.steps)
    datasets = dict.fromkeys(name for planned in plan.steps for name in planned.step.values["dataset"])
    launch = Launch(
        command=("finetui", "pipeline", str(plan.run.path)),
        kind=PIPELINE,
        grace_seconds=_GRACE_SECONDS,
        model=", ".join(models),
        steps=tuple(_queued(planned) for planned in plan.steps),
        datasets=tuple(datasets),
    )
    return recorded(launch, plan.workspace)


def _queued(planned: PlannedStep) -> QueuedRun:
    step = planned.step
    trains = step.verb == "train"
    return QueuedRun(
        name=step.name,
        run=str(planned.standing.run.path),
        kind="train" if trains else "evaluation",
        stage=step.values["stage"] if trains else "",
        after=step.after,
    )
