"""The runs of a pipeline's steps, and which of them is meant when something is asked of the pipeline itself.

What it trained to answer is its last such step that has saved something: the policy, before that the supervised model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.models.adapters import is_adapter_folder
from core.models.info import is_model_folder
from core.runs.launch_file import QueuedRun
from tui.run_subjects import saved_folders
from tui.run_watcher import EVALUATION, Watched


def step_runs(pipeline: Watched, runs: Mapping[Path, Watched]) -> list[tuple[QueuedRun, Watched | None]]:
    """Each step with its run, as far as it is there.

    Args:
        runs: all runs, by folder; those of a workspace that was moved lie beside the pipeline.
    """
    beside = pipeline.run.path.parent
    return [
        (step, runs.get(Path(step.run)) or runs.get(beside / Path(step.run).name)) for step in pipeline.summary.steps
    ]


def answering_step(pipeline: Watched, runs: Mapping[Path, Watched]) -> Watched | None:
    """The run whose weights answer for a pipeline."""
    trained = [run for step, run in step_runs(pipeline, runs) if run is not None and step.kind == "train"]
    return next((run for run in reversed(trained) if run.stage != "rm" and _has_saved(run)), None)


def tested_step(pipeline: Watched, runs: Mapping[Path, Watched]) -> Watched | None:
    """The run of its last evaluation that has begun."""
    found = [run for step, run in step_runs(pipeline, runs) if run is not None and step.kind == EVALUATION]
    return found[-1] if found else None


def _has_saved(run: Watched) -> bool:
    folder = run.run.path
    ended = is_adapter_folder(folder) or is_model_folder(folder)
    return ended or bool(saved_folders(run.run, run.history, run.stage))
