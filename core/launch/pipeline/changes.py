"""What is no longer as it was when a step was made: its options, the files that it read, the steps that it stands on.

A step's run keeps what it was started with (`launch.json`), so nothing depends on what the pipeline's file said in
between, and a step that was taken out and put back is still known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from core.config.data import DataOptions
from core.config.evaluation import EvaluatedDataOptions
from core.config.fields import describe, shown
from core.config.pipeline import SECTIONS, Pipeline, PipelineStep
from core.data.catalog import Catalog, read_catalog
from core.data.examples import data_folder
from core.errors import DataError, Problem
from core.i18n import _
from core.launch.pipeline.standing import StepStanding
from core.launch.record import is_changed
from core.runs.events import RunStarted
from core.runs.follow import parse
from core.runs.launch_file import Caution, DataFile, Launch, read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import read_marks
from core.untrusted import inert_line
from core.workspace import Workspace

FileChange: TypeAlias = Literal["changed", "gone", "new"]


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that a step read, or would read now."""

    path: Path
    option: str
    """The one that names it."""
    change: FileChange


def changes(pipeline: Pipeline, standing: StepStanding, found: Sequence[StepStanding]) -> Iterator[Problem]:
    """What stands against keeping a step's run, files apart.

    Args:
        found: all steps.
    """
    step = standing.step
    again = made_anew(pipeline, step)
    options = list(_options(step, read_launch(standing.run), _("put it back, or {again}").format(again=again)))
    yield from options
    for earlier in found if not options else ():  # what it stands on may be another step by them
        if earlier.step.name not in step.after:
            continue
        name = earlier.step.name
        if earlier.state is None:
            what = _("stands on {name}, whose run is gone").format(name=name)
            yield Problem(step.where, what, _("make both anew: --restart {name}").format(name=name))
        elif earlier.done and _began(standing.run) < _ended(earlier.run):
            what = _("was made from {name} as it was before: {name} was trained again since").format(name=name)
            yield Problem(step.where, what, again)


def changed_files(step: PipelineStep, run: RunDirectory, workspace: Workspace) -> Iterator[ChangedFile]:
    """The files of a step's run that hold something else now, are gone, or have come to its data."""
    launch = read_launch(run)
    known: set[Path] = set()
    for recorded, is_data in [*((one, True) for one in launch.data), *((one, False) for one in launch.code)]:
        path = _where_it_lies_now(recorded.path, launch, workspace)
        known.add(path)
        change = _change(recorded, path)
        if change is not None:
            yield ChangedFile(path, _option_of(recorded, step) if is_data else recorded.dataset, change)
    for option in ("dataset", "eval_dataset") if launch.data else ():
        yield from (
            ChangedFile(path, option, "new") for path in _read_now(step, option, workspace) if path not in known
        )


def file_problem(pipeline: Pipeline, steps: Sequence[PipelineStep], found: ChangedFile) -> Problem:
    """Why the runs of some steps cannot just be kept: what they read is another thing now."""
    told = _("{path} changed since it was read for {steps}")
    if found.change == "new":
        told = _("{path} was not read for {steps}, and would be now")
    names = [step.name for step in steps]
    hint = _("{again}; or take them as they are: --keep {steps}")
    return Problem(
        steps[0].settings.origins[found.option].where or f"{steps[0].where}.{found.option}",
        told.format(path=inert_line(str(found.path)), steps=", ".join(names)),
        hint.format(again=made_anew(pipeline, *steps), steps=",".join(names)),
    )


def file_caution(found: ChangedFile) -> Caution:
    """The same where the run is kept. What is gone has not become anything else, and is no reason against keeping."""
    told = {
        "changed": _("{path} changed since it was read; the run stays as it is"),
        "new": _("{path} was not read, and would be now; the run stays as it is"),
        "gone": _("{path} is gone; the run stays as it is, and could not be made anew"),
    }
    return Caution(told[found.change].format(path=inert_line(str(found.path))))


def made_anew(pipeline: Pipeline, *steps: PipelineStep) -> str:
    """`make one, two anew: --restart one`."""
    names = [step.name for step in steps]
    every = ", ".join(pipeline.standing_on(names))
    return _("make {steps} anew: --restart {restarted}").format(steps=every, restarted=",".join(names))


# --- options ----------------------------------------------------------------------------------------------------


def _options(step: PipelineStep, launch: Launch, hint: str) -> Iterator[Problem]:
    before, now = launch.pipeline_options, step.given
    if not before:
        return
    defaults = {spec.name: shown(spec.default) for spec in describe(*SECTIONS[step.verb])}
    for name in ("does", *step.values):
        if before.get(name) != now.get(name):
            was = before.get(name) or defaults.get(name) or _("not given")
            origin = step.settings.origins.get(name)
            where = (origin.where if origin is not None else "") or f"{step.where}.{name}"
            yield Problem(where, _("was {value} when {step} was made").format(value=was, step=step.name), hint)


# --- files ------------------------------------------------------------------------------------------------------


def _where_it_lies_now(path: str, launch: Launch, workspace: Workspace) -> Path:
    """A file of a workspace that was moved since is looked for in its new place."""
    old = Path(launch.workspace or "/")
    inside = bool(launch.workspace) and Path(path).is_relative_to(old)
    return (workspace.root / Path(path).relative_to(old) if inside else Path(path)).absolute()


def _change(recorded: DataFile, path: Path) -> FileChange | None:
    try:
        return "changed" if is_changed(recorded, path) else None
    except OSError:
        return "gone"


def _option_of(recorded: DataFile, step: PipelineStep) -> str:
    evaluated = step.values.get("eval_dataset", ())
    return "eval_dataset" if recorded.dataset in evaluated else "dataset"


def _read_now(step: PipelineStep, option: str, workspace: Workspace) -> Iterator[Path]:
    """The files of a step's data sets, as far as they are entered: what an entry names may have become another."""
    options = step.settings[DataOptions] if step.verb == "train" else step.settings[EvaluatedDataOptions]
    with contextlib.suppress(DataError):
        catalog = read_catalog(data_folder(options, workspace))
        for name in step.values.get(option, ()):
            yield from _files_of(catalog, name)


def _files_of(catalog: Catalog, name: str) -> Iterator[Path]:
    with contextlib.suppress(DataError):
        entry = catalog.entry(name)
        if not entry.hub_name:
            yield from (path.absolute() for path in entry.data_files())


# --- steps that a step stands on --------------------------------------------------------------------------------


def _began(run: RunDirectory) -> float:
    """When a run was begun, whatever was gone on with since."""
    with contextlib.suppress(OSError), run.events.open("rb") as file:
        first = parse(file.readline())[0]
        return first.time if isinstance(first, RunStarted) else float("inf")
    return float("inf")


def _ended(run: RunDirectory) -> float:
    last = read_marks(run).last
    return last.time if last is not None else 0.0
