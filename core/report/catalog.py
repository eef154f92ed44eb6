"""Which reports there are: every part of every evaluation, running or ended, and folders with LLaMA-Factory's answers.

Hundreds are listed at once and again every two seconds: a report that did not change is not read again, and no list
reads rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import ReportError, RunNotFound, did_you_mean
from core.i18n import _
from core.metrics.metric import Value
from core.report.layout import PartFiles, PlannedPart
from core.report.report import EvaluatedSet, Report, Subject
from core.report.rows import PREDICTIONS, foreign_results
from core.report.store import PARTS, read_parts, read_report
from core.runs.catalog import entered_folders, find_run, list_runs, run_name
from core.runs.launch_file import Launch, read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, is_active, state_of
from core.untrusted import inert_line
from core.workspace import JUDGINGS, Workspace

USUAL = ("reward", "accuracy", "margin", "exact_match", "bleu-4", "rouge-1", "rouge-2", "rouge-l")
"""The metrics that a list of reports shows until others are chosen, of those that there are. There is a reward where
somebody named what gives it."""
_DEPTH = 4
_KEPT = 4096
_LONGEST_SCORES = 256
_FILES = (".jsonl", ".json", ".csv", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A report in one line: what the table shows."""

    name: str
    """What one types to mean it: the run's name, with the part's folder behind it where there are several."""
    folder: Path
    report: Report
    """Without numbers where there are none yet."""
    state: RunState
    run: RunDirectory | None = None
    """The evaluation that it belongs to; None for the folder of another tool."""
    part: PlannedPart | None = None
    time: float = 0.0
    """When it was written; of one that is not there yet, when its run was started."""
    problem: str = ""
    """Why its report cannot be read."""

    @property
    def running(self) -> bool:
        return is_active(self.state)

    @property
    def scored(self) -> bool:
        """Whether it has its numbers."""
        return bool(self.report.values)


def list_reports(workspace: Workspace) -> list[ReportSummary]:
    """All reports of a workspace, the newest last; without what was drawn for pairs, which nobody measures."""
    found: dict[Path, ReportSummary | None] = {}
    for run in list_runs(workspace):
        if is_evaluation(run):
            draws = _draws_pairs(_launched(run))
            for item in _of_run(run, workspace):
                found[item.folder.resolve()] = None if draws and item.state == "finished" else item
    for folder in (*_foreign_below(workspace.runs, _DEPTH), *entered_folders(workspace)):
        if folder.resolve() not in found and holds_answers(folder):
            found[folder.resolve()] = _foreign(folder, workspace)
    return sorted(filter(None, found.values()), key=lambda item: (item.time, item.name))


def find_reports(name: str, workspace: Workspace) -> list[Path]:
    """What a name means: an evaluation's parts, one part, a folder with answers, or a predictions file.

    Args:
        name: `RUN`, `RUN/PART`, a folder or a file; `last` is the newest evaluation. Of a part its folder's name, its
            model or its set will do.

    Raises:
        ReportError: there is nothing of that name; names the nearest.
    """
    typed = Path(name).expanduser()
    for path in (workspace.runs / typed, typed.absolute(), workspace.root / typed):
        if path.is_file() or holds_answers(path):
            return [path]
        if parts := _folders(path) or _part_of(path):
            return parts
    listed = list_reports(workspace)
    if name == "last" and listed:
        run = listed[-1].run
        return [item.folder for item in listed if item.run == run] if run else [listed[-1].folder]
    with contextlib.suppress(RunNotFound):
        run = find_run(name, workspace)
        if parts := _folders(run.path):
            return parts
        if is_evaluation(run):
            what = _("{name} has no answers yet").format(name=inert_line(name))
            raise ReportError(what, _("watch it with: finetui runs follow {name}").format(name=inert_line(name)))
        raise _of_training(run, name)
    raise _no_report(name, typed, [item.name for item in listed])


def _of_training(run: RunDirectory, name: str) -> ReportError:
    if _is_scores(run.path / PREDICTIONS[0]):
        what = _("{name} is a reward model: it scores answers and writes none")
        hint = _("score pairs with: finetui eval {name} --dataset PAIRS; a model's answers with --reward_model {name}")
    else:
        what = _("{name} is a training, and has no answers")
        hint = _("evaluate it with: finetui eval --adapter_name_or_path {name}")
    return ReportError(what.format(name=inert_line(name)), hint.format(name=inert_line(name)))


def _no_report(name: str, typed: Path, known: list[str]) -> ReportError:
    if typed.is_dir():
        what = _("{name} is a folder without answers").format(name=inert_line(name))
        return ReportError(what, did_you_mean(name, known) or _("finetui report lists what has answers"))
    if typed.suffix.lower() in _FILES:
        there = [str(path) for path in typed.parent.iterdir() if path.is_file()] if typed.parent.is_dir() else []
        hint = did_you_mean(str(typed), there) or _("look at its name and folder")
        return ReportError(_("there is no file {name}").format(name=inert_line(name)), inert_line(hint))
    hint = did_you_mean(name, known) or (
        _("there are: {names}").format(names=inert_line(", ".join(known[-10:])))
        if known
        else _("make one with: finetui eval")
    )
    return ReportError(_("no report {name}").format(name=inert_line(name)), hint)


def _draws_pairs(launch: Launch) -> bool:
    """Whether it asks the prompts of a judging, whose answers are to be compared with one another."""
    asked = [Path(file.path) for file in launch.data]
    return any(
        path.parent.parent.name == JUDGINGS and path.name.startswith(f"{path.parent.name}-prompts") for path in asked
    )


def is_evaluation(run: RunDirectory) -> bool:
    """Whether a run answers test sets, or is about to."""
    return (run.path / PARTS).is_file() or _launched(run).kind == "evaluation"


def holds_answers(folder: Path) -> bool:
    """Whether a folder has answers of its own, finished or being written."""
    return PartFiles(folder).journal.is_file() or _holds_predictions(folder)


def _holds_predictions(folder: Path) -> bool:
    """Whether there is a file of answers. A reward model writes its scores under the same name."""
    there = [path for name in PREDICTIONS if (path := folder / name).is_file()]
    return bool(there) and not any(map(_is_scores, there))


def _is_scores(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        row = json.loads(file.readline(_LONGEST_SCORES))
        return isinstance(row, dict) and {"chosen", "rejected"} <= row.keys() and "predict" not in row
    return False


def _part_of(path: Path) -> list[Path]:
    """The parts that `RUN/PART` means: one by its folder's name, else all of a model or a set."""
    run, wanted = path.parent, path.name
    parts = [part for part in read_parts(run) if holds_answers(run / part.folder)]
    named = [part for part in parts if Path(part.folder).name == wanted]
    chosen = named or [part for part in parts if wanted in (part.subject, part.dataset, part.name)]
    return [run / part.folder for part in chosen]


def _folders(run: Path) -> list[Path]:
    return [folder for part in read_parts(run) if holds_answers(folder := run / part.folder)]


def _of_run(run: RunDirectory, workspace: Workspace) -> Iterator[ReportSummary]:
    if not is_evaluation(run):
        return
    name, launch = run_name(run, workspace), _launched(run)
    state: RunState | None = None
    planned = PlannedPart(run.name, ".", Path(launch.model).name, ",".join(launch.datasets))
    for part in _parts(run) or (planned,):
        folder = (run.path / part.folder).absolute() if part.folder != "." else run.path
        shown = name if folder == run.path else f"{name}/{Path(part.folder).name}"
        report, problem = _read(folder)
        if report is None:
            report = Report(Subject(part.subject, ""), EvaluatedSet(part.dataset, part.rows), complete=False)
        if report.complete and not problem:
            here: RunState = "finished"  # whatever its run still does: nothing has to be asked
        else:
            here = state = state or state_of(run)
        yield ReportSummary(shown, folder, report, here, run, part, report.time or launch.time, problem)


def _launched(run: RunDirectory) -> Launch:
    try:
        return _read_launch(run, run.launch.stat().st_mtime_ns)
    except OSError:
        return Launch()


@functools.lru_cache(_KEPT)
def _read_launch(run: RunDirectory, _changed: int) -> Launch:
    return read_launch(run)


def _parts(run: RunDirectory) -> tuple[PlannedPart, ...]:
    try:
        return _read_parts(run.path, (run.path / PARTS).stat().st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(_KEPT)
def _read_parts(run: Path, _changed: int) -> tuple[PlannedPart, ...]:
    return read_parts(run)


def _read(folder: Path) -> tuple[Report | None, str]:
    path = PartFiles(folder).report
    try:
        status = path.stat()
    except OSError:
        return None, ""
    return _read_unchanged(folder, status.st_mtime_ns, status.st_size)


@functools.lru_cache(_KEPT)
def _read_unchanged(folder: Path, _changed: int, _size: int) -> tuple[Report | None, str]:
    try:
        return dataclasses.replace(read_report(folder), config={}), ""
    except ReportError as error:
        return None, str(error)


def _foreign(folder: Path, workspace: Workspace) -> ReportSummary:
    report, problem = _read(folder)
    path = next((folder / name for name in PREDICTIONS if (folder / name).is_file()), folder)
    written = 0.0
    with contextlib.suppress(OSError):  # somebody deletes it just now
        written = path.stat().st_mtime
    if report is None:
        report = _foreign_report(folder, path, int(written * 1000))
    return ReportSummary(
        run_name(RunDirectory(folder), workspace), folder, report, "finished", None, None, written, problem
    )


@functools.lru_cache(_KEPT)
def _foreign_report(folder: Path, path: Path, _changed: int) -> Report:
    rows = 0
    with contextlib.suppress(OSError):
        rows = path.read_bytes().count(b"\n")
    told = foreign_results(folder)
    values = {name: Value(value, rows) for name, value in told.items() if name.startswith(("bleu", "rouge"))}
    return Report(Subject(folder.name, ""), EvaluatedSet("", rows), values, answered=rows, time=_changed / 1000)


def _foreign_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError:
        return
    for child in children:
        if (child / PARTS).is_file():
            continue
        if _holds_predictions(child):
            yield child
        elif depth > 1 and not (child / "events.jsonl").exists():
            yield from _foreign_below(child, depth - 1)
