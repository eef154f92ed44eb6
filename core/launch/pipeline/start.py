"""Starting a pipeline, and going on with it. It is a run like others: it lives on when whoever started it ends.

Options that changed are written when no run is left that was made with the old ones: what is made anew is deleted
first. So the pipeline's file and its runs agree after a kill at any instant.
"""

from __future__ import annotations

import dataclasses

from core.config.pipeline import as_text
from core.launch.folder import make_folder, refuse_active
from core.launch.local import launch_run, remove, start_segment
from core.launch.pipeline.plan import PipelinePlan, PlannedStep
from core.launch.record import recorded
from core.runs.launch_file import Launch, QueuedRun, read_launch
from core.runs.rundir import PIPELINE, RunDirectory
from core.workspace import write_text

_GRACE_SECONDS = 180.0


def start_pipeline(plan: PipelinePlan) -> RunDirectory:
    """Start a pipeline, or go on with it. Returns at once; it goes on alone.

    Raises:
        RunError: it cannot be started.
    """
    if plan.exists:
        refuse_active(plan.run)
    for planned in plan.steps:
        if planned.what == "restart":
            remove(planned.standing.run, plan.workspace)
    config = as_text(plan.pipeline)
    if not plan.exists:
        make_folder(plan.run, plan.workspace, overwrite=False)
        launch_run(plan.run, config, _launch(plan), plan.workspace)
        return plan.run
    write_text(plan.run.config, config)
    segment = read_launch(plan.run).segment + 1
    start_segment(plan.run, dataclasses.replace(_launch(plan), segment=segment))
    return plan.run


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
