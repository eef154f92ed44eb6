"""A pipeline followed until it ends or the reader leaves; it does not notice either.

On a terminal its steps stand as a table that is kept up to date; elsewhere what the steps tell are lines, each with its
step's name before it; with `--json` each event is a line.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from core.config.pipeline import Pipeline
from core.config.pipeline_file import read_pipeline
from core.errors import RunError
from core.i18n import _, plural
from core.launch.pipeline.standing import standings, step_run
from core.records import to_record
from core.runs.catalog import run_name
from core.runs.events import Event, RunFailed, RunFinished, RunStarted, StepMoved, Warned
from core.runs.history import History, read_history
from core.runs.quantities import stage_named
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of, wait_gone
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.cli.console import note, print_error, print_json, takes_codes
from tui.cli.event_lines import Teller
from tui.cli.following import INTERRUPTED
from tui.cli.pipeline_table import pipeline_lines, ways_on
from tui.cli.run_lines import failure_text, state_word

_LOOK_SECONDS = 0.25
_LOG_LINES = 15
_FULL_BYTES = 1 << 20
"""Where less is free, a process may have found no place for its last word."""


class _Shown(Protocol):
    """Where events go."""

    def own(self, event: Event) -> None:
        """The pipeline has told something."""

    def of_step(self, step: str, event: Event) -> None: ...

    def standing(self, runs: Mapping[str, History | None]) -> None:
        """Called after each look."""


def follow_pipeline(run: RunDirectory, workspace: Workspace, *, as_json: bool = False) -> int:
    """Show a pipeline until its end.

    Returns:
        The exit code: 0 when all is finished, 1 when it was stopped, failed or was lost, 130 when the reader left.
    """
    watch = _Watch(run, workspace)
    try:
        with _display(watch.pipeline, as_json) as shown:
            watch.show(shown)
    except KeyboardInterrupt:
        if is_active(state_of(run)) and not as_json:
            note("")
            note(_("{name} goes on without you").format(name=inert_line(run.name)))
            note(ways_on(run))
        return INTERRUPTED
    if not as_json:
        _say_end(watch)
    return 0 if watch.own.state == "finished" else 1


class _Watch:
    def __init__(self, run: RunDirectory, workspace: Workspace) -> None:
        self.workspace = workspace
        self.own = History(run)
        self.pipeline = read_pipeline(run.config)
        self.runs: dict[str, History | None] = {}
        """By the step's name; None for those that have not begun."""
        for standing in standings(self.pipeline, workspace):
            self.runs[standing.step.name] = read_history(standing.run) if standing.state is not None else None

    def show(self, shown: _Shown) -> None:
        """Hand on what comes, until the end."""
        followed: tuple[str, History, float] | None = None
        while True:
            ended = not is_active(self.own.state) and self.own.last is not None
            events = self.own.update()
            if any(isinstance(event, RunStarted) for event in events):
                events = _of_last_segment(events)
            for event in events:
                if isinstance(event, StepMoved) and event.move == "finished" and followed is not None:
                    _hand_on(followed, shown)
                    followed = None
                shown.own(event)
                if isinstance(event, StepMoved) and event.move in ("started", "resumed", "joined"):
                    history = self.runs[event.step] = History(self._run(event))
                    followed = (event.step, history, event.time if event.move == "resumed" else 0.0)
            if followed is not None:
                _hand_on(followed, shown)
            shown.standing(self.runs)
            if ended and not events:
                wait_gone(self.own.run)
                return
            if not self.own.behind and not ended:
                time.sleep(_LOOK_SECONDS)

    def _run(self, event: StepMoved) -> RunDirectory:
        step = next(step for step in self.pipeline.steps if step.name == event.step)
        return step_run(self.pipeline, step, self.workspace)


def _hand_on(followed: tuple[str, History, float], shown: _Shown) -> None:
    """What a step's run has told since the last look; nothing of what it told before it was resumed."""
    step, history, since = followed
    while True:
        for event in history.update():
            if event.time >= since - 1:
                shown.of_step(step, event)
        if not history.behind:
            return


def _of_last_segment(events: list[Event]) -> list[Event]:
    """From the last beginning on: what an earlier one told is told by the folders."""
    last = max(at for at, event in enumerate(events) if isinstance(event, RunStarted))
    return events[last:]


def _say_end(watch: _Watch) -> None:
    own = watch.own
    for step in watch.pipeline.steps:
        history = watch.runs[step.name]
        if step.verb == "eval" and history is not None and history.state == "finished":
            from tui.cli.evaluation_tables import result_lines  # reports: trainings do without

            for line in result_lines(history.run):
                print(line)
    if own.failed is not None:
        if log := failure_text(own.failed):
            note("\n".join(log.splitlines()[-_LOG_LINES:]))
        print_error(RunError(own.failed.error, own.failed.hint))
    name = inert_line(run_name(own.run, watch.workspace))
    again = _("go on: finetui pipeline {name}").format(name=name)
    if own.state == "lost":
        lost = _("the pipeline was lost: its process is gone and said no last word")
        full = shutil.disk_usage(own.run.path).free < _FULL_BYTES
        print_error(
            RunError(lost, _("the disk is full: free some; then {again}").format(again=again) if full else again)
        )
    if own.state == "stopped":
        note(again)
    done = sum(history is not None and history.state == "finished" for history in watch.runs.values())
    steps = plural("{count} step", "{count} steps", len(watch.runs))
    told = _("{name}: {state}, {done} of {steps} done")
    print(told.format(name=name, state=state_word(own.state), done=done, steps=steps), flush=True)


def _is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # the folder may have been taken away
        return shutil.disk_usage(folder).free < _FULL_BYTES
    return False


# --- displays ---------------------------------------------------------------------------------------------------


@contextmanager
def _display(pipeline: Pipeline, as_json: bool) -> Iterator[_Shown]:
    if as_json:
        yield _Records()
    elif takes_codes(sys.stdout):
        with _live(pipeline) as live:
            yield live
    else:
        yield _Lines(pipeline)


class _Records:
    """One JSON object a line, as in the events of the pipeline and of its steps' runs."""

    def own(self, event: Event) -> None:
        print_json(to_record(event))

    def of_step(self, step: str, event: Event) -> None:
        print_json({"pipeline_step": step, **to_record(event)})

    def standing(self, runs: Mapping[str, History | None]) -> None: ...


class _Lines:
    """For logs and pipes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._width = max(len(step.name) for step in pipeline.steps)
        self._tellers = {step.name: Teller(stage_named(str(step.values.get("stage", "")))) for step in pipeline.steps}

    def own(self, event: Event) -> None:
        if line := own_line(event):
            print(line, flush=True)

    def of_step(self, step: str, event: Event) -> None:
        if isinstance(event, (RunFinished, RunFailed)):
            return
        if line := self._tellers[step].line(event):
            print(f"{step:<{self._width}} | {line}", flush=True)

    def standing(self, runs: Mapping[str, History | None]) -> None: ...


class _Live:
    """A table that is written over, warnings above it."""

    def __init__(self, pipeline: Pipeline, live: Any) -> None:
        self._pipeline, self._live = pipeline, live
        self._text = ""

    def own(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._live.console.print(own_line(event), markup=False, highlight=False)

    def of_step(self, step: str, event: Event) -> None:
        if isinstance(event, Warned):
            line = f"{step}: {Teller().line(event)}"
            self._live.console.print(line, markup=False, highlight=False)

    def standing(self, runs: Mapping[str, History | None]) -> None:
        from rich.text import Text  # 60 ms with the live display, only where it is seen

        text = "\n".join(pipeline_lines(self._pipeline, runs))
        if text != self._text:  # a line that idles sends nothing
            self._text = text
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


@contextmanager
def _live(pipeline: Pipeline) -> Iterator[_Live]:
    from rich.console import Console  # see above
    from rich.live import Live

    with Live(console=Console(), auto_refresh=False) as live:
        yield _Live(pipeline, live)


def own_line(event: Event) -> str:
    """What a pipeline tells itself, as a line; empty for what nobody has to read."""
    match event:
        case StepMoved(step=step, move=move, done=done, total=total):
            words = {
                "started": _("{step} begins ({next} of {total})"),
                "resumed": _("{step} goes on from where it ended ({next} of {total})"),
                "joined": _("{step} is going on already ({next} of {total})"),
                "kept": _("{step} was finished before, with the same options"),
                "finished": _("{step} is finished"),
            }
            return words[move].format(step=inert_line(step), next=done + 1, total=total)
        case Warned(message=message, hint=hint):
            return _("warning: {text}").format(text=inert_line(f"{message} ({hint})" if hint else message))
    return ""
