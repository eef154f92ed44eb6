"""A run followed in a terminal, a log or a pipe, until it ends or the reader leaves; the run does not notice either.

On a terminal a bar stands below the lines; elsewhere each point of the curves is a line; with `--json` each event is.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from core.errors import ModelNotFound, RunError
from core.i18n import _, plural
from core.records import to_record
from core.runs.catalog import run_name
from core.runs.events import Answered, Event, RunFailed, RunFinished, Step
from core.runs.history import History
from core.runs.launch_file import read_launch
from core.runs.quantities import TrainingStage, stage_named
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, wait_gone
from core.runs.told import answer_rate, clock, leading, metrics_blocks, pace
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.cli.console import note, print_error, print_json, takes_codes
from tui.cli.event_lines import Teller, stage_line
from tui.cli.run_lines import failure_text, state_word
from tui.run_subjects import subjects_of

_LOOK_SECONDS = 0.25
_LOG_LINES = 15
_WATCHED = 2
"""Numbers of a stage that find room beside a bar."""
INTERRUPTED = 130


class _Shown(Protocol):
    """Where events go."""

    def event(self, event: Event) -> None: ...

    def standing(self, history: History) -> None:
        """Called after each look."""


def follow(run: RunDirectory, workspace: Workspace, *, as_json: bool = False) -> int:
    """Show a run from its beginning until its end.

    Returns:
        The exit code: 0 when it finished, 1 when it was stopped, failed or was lost, 130 when the reader left.
    """
    history = History(run)
    try:
        with _display(as_json, stage_named(read_launch(run).stage)) as shown:
            _watch(history, shown)
    except KeyboardInterrupt:
        if is_active(history.state) and not as_json:
            note("")
            note(_("{name} goes on without you").format(name=inert_line(run.name)))
            note(ways_on(run, workspace))
        return INTERRUPTED
    if not as_json:
        _say_end(history, workspace)
    return 0 if history.state == "finished" else 1


def ways_on(run: RunDirectory, workspace: Workspace) -> str:
    """How to see and to stop a run, as commands."""
    told = _("see it: finetui runs follow {name}   stop it: finetui runs stop {name}")
    return told.format(name=_typed(run, workspace))


def _typed(run: RunDirectory, workspace: Workspace) -> str:
    """A run's name as one types it in a shell."""
    return inert_line(shlex.quote(run_name(run, workspace)))


def _watch(history: History, shown: _Shown) -> None:
    while True:
        ended = not is_active(history.state) and history.last is not None
        events = history.update()
        for event in events:
            shown.event(event)
        shown.standing(history)
        if ended and not events:
            wait_gone(history.run)  # pictures are drawn after the last word
            return
        if not history.behind and not ended:
            time.sleep(_LOOK_SECONDS)


def _say_end(history: History, workspace: Workspace) -> None:
    evaluates = history.started is not None and history.started.kind == "evaluation"
    if evaluates:
        from tui.cli.evaluation_tables import result_lines  # reports: trainings do without

        for line in result_lines(history.run):
            print(line)
    elif history.finished is not None and history.finished.metrics:
        print(metrics_blocks(history.finished.metrics))
    folder = inert_line(str(history.run.path))
    step = history.finished.step if history.finished else _last_step(history)
    told = _("{state} at step {step}; everything is in {folder}")
    if evaluates:
        told = _("{state} after {answers}; everything is in {folder}")
    if history.failed is not None:
        if log := failure_text(history.failed):
            note("\n".join(log.splitlines()[-_LOG_LINES:]))
        print_error(RunError(history.failed.error, history.failed.hint))
    if history.state == "lost":
        what = _("the run was lost: its supervisor is gone and said no last word")
        print_error(RunError(what, resume_hint(history, workspace)))
    answers = plural("{count} answer", "{count} answers", step)
    print(told.format(state=state_word(history.state), step=step, answers=answers, folder=folder), flush=True)
    if evaluates and history.state == "finished":
        name = _typed(history.run, workspace)
        told = _("the answers: finetui report {name}   against another: finetui compare {name} OTHER")
        if len(read_launch(history.run).subjects) > 1:
            told = _("the answers: finetui report {name}   against one another: finetui compare {name}")
        note(told.format(name=name))
    elif hint := _way_on(history, workspace):
        note(hint)


def _way_on(history: History, workspace: Workspace) -> str:
    """What one does next: with what was trained, or with an evaluation that ended early."""
    if history.state == "finished":
        return _use_of(history, workspace)
    stays = history.answered is not None and history.state in ("stopped", "failed")
    return resume_hint(history, workspace) if stays else ""


def _use_of(history: History, workspace: Workspace) -> str:
    """What one does with what a stage has trained, as a command; nothing for what one simply talks to."""
    launch = read_launch(history.run)
    if launch.stage == "rm":
        told = _(
            "how well it tells pairs apart: finetui eval {name} --dataset PAIRS   answers are scored with it by: "
            "finetui train --stage ppo --reward_model {name} …"
        )
        return told.format(name=_typed(history.run, workspace))
    if launch.stage not in ("dpo", "ppo"):
        return ""
    try:
        asked = subjects_of(history.run, launch.model, history.run.path, workspace).evaluated
    except ModelNotFound:
        return ""
    if "adapter_name_or_path" in asked:
        asked = {name: value for name, value in asked.items() if name != "model_name_or_path"}  # the adapters tell it
    words = [f"--{name}" + (f" {shlex.quote(value)}" if value != "true" else "") for name, value in asked.items()]
    told = _("compare it with what it was: finetui eval {words} --dataset SET")
    return told.format(words=inert_line(" ".join(words)))


def _last_step(history: History) -> int:
    if history.answered is not None:
        return history.answered.done
    return history.step.step if history.step else 0


def resume_hint(history: History, workspace: Workspace) -> str:
    """How to go on with a run that ended too early; empty where nothing was saved."""
    name = _typed(history.run, workspace)
    if history.answered is not None:
        return _("go on where it was: finetui runs resume {name}").format(name=name)
    if not history.run.saved_checkpoints():
        return ""
    return _("go on from its last checkpoint: finetui runs resume {name}").format(name=name)


# --- displays ---------------------------------------------------------------------------------------------------


@contextmanager
def _display(as_json: bool, trains: TrainingStage) -> Iterator[_Shown]:
    if as_json:
        yield _Records()
    elif takes_codes(sys.stdout):
        with _bar(trains) as bar:
            yield bar
    else:
        yield _Lines(trains)


class _Records:
    """One JSON object a line, as in events.jsonl."""

    def event(self, event: Event) -> None:
        print_json(to_record(event))

    def standing(self, history: History) -> None: ...


class _Lines:
    """For logs and pipes."""

    def __init__(self, trains: TrainingStage) -> None:
        self._teller = Teller(trains)

    def event(self, event: Event) -> None:
        if line := self._teller.line(event):
            print(line, flush=True)

    def standing(self, history: History) -> None: ...


class _Bar:
    """Lines above, a bar below that tells loss, speed and the time to go."""

    def __init__(self, progress: Any, trains: TrainingStage = "sft") -> None:
        self._teller = Teller(trains)
        self._progress = progress
        self._task = progress.add_task("", total=None, told="")

    def event(self, event: Event) -> None:
        line = self._teller.line(event)
        if line and not isinstance(event, (Step, Answered, RunFinished, RunFailed)):
            self._progress.console.print(line, markup=False, highlight=False)

    def standing(self, history: History) -> None:
        stage = history.stage.stage if history.stage else None
        told = self._told(history) or (stage_line(stage) if stage else "") or state_word(history.state)
        answered = history.answered
        done = answered.done if answered else history.step.step if history.step else 0
        total = (answered.total if answered else history.total_steps) or None
        count = f"{done}/{total}" if total else ""
        self._progress.update(self._task, completed=done, total=total, description=count, told=told)

    def _told(self, history: History) -> str:
        step, answered = history.step, history.answered
        if step is not None:
            told = _("loss {loss:.4f}{watched}  {speed}  ETA {eta}")
            watched = "".join(f"  {name} {value:.4g}" for name, value in leading(step.metrics)[:_WATCHED])
            return told.format(
                loss=step.loss, watched=watched, speed=pace(self._teller.speed), eta=clock(step.remaining)
            )
        if answered is None or history.stage is None or history.stage.stage not in ("answering", "scoring"):
            return ""
        line, rate = answered.part, answer_rate(answered)
        if rate:
            told = _("{part}  {speed:.2f} rows/s  ETA {eta}")
            line = told.format(part=line, speed=rate, eta=clock(answered.remaining))
        metrics = "".join(f"  {name} {value:.4g}" for name, value in answered.metrics.items())
        return inert_line(line + metrics)


@contextmanager
def _bar(trains: TrainingStage) -> Iterator[_Bar]:
    from rich.console import Console  # 60 ms with the bar, only where it is seen
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=Console(), refresh_per_second=4, transient=True) as progress:
        yield _Bar(progress, trains)
