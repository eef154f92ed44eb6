"""Watches the runs of a workspace for the whole app: which there are, how they go on, and when one needs a look.

Trainings and evaluations alike: F3 lists the one kind, F4 the other, the line at the bottom and the bell know both.

Runs are folders that others write, so they are polled: four times a second while something runs, else a glance at
the folder every two seconds, in a thread, which sends nothing to the terminal. Screens subscribe and are told; the line
at the bottom of every screen is told through the app.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from core.errors import FinetuiError
from core.i18n import _, plural
from core.runs.catalog import list_runs, run_name
from core.runs.events import RunFinished, RunStarted, Step, Warned
from core.runs.history import History, alarm_kind
from core.runs.quantities import TrainingStage
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, is_active
from core.runs.summary import RunSummary, summarise
from core.workspace import Workspace

POLL_SECONDS = 0.25
_GLANCE_SECONDS = 2.0
_SCAN_SECONDS = 15.0
"""A resume from elsewhere changes no folder that a glance looks at."""
_STATE_SECONDS = 1.0
_STRIP_BYTES = 4 << 20
"""Curves of longer runs are read when somebody looks at them, not for a strip in the list."""
_DIVERGED = 2.0
"""Times the loss at the beginning."""
_FIRST_POINTS = 5

Kind: TypeAlias = Literal["finished", "stopped", "failed", "lost", "diverged", "warned"]
EVALUATION = "evaluation"

Severity: TypeAlias = Literal["information", "warning", "error"]
_SEVERITIES: dict[Kind, Severity] = {
    "finished": "information",
    "stopped": "information",
    "failed": "error",
    "lost": "error",
    "diverged": "warning",
    "warned": "warning",
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something happened that one should know wherever one is."""

    kind: Kind
    name: str
    title: str
    detail: str = ""

    @property
    def severity(self) -> Severity:
        return _SEVERITIES[self.kind]


@dataclass(slots=True)
class Watched:
    """A run as far as it is known."""

    run: RunDirectory
    name: str
    summary: RunSummary
    history: History | None = None
    """What it told, once somebody wanted to know."""
    state: RunState = "finished"
    diverged: bool = False
    alarmed: set[str] = field(default_factory=set)
    """The kinds of alarms of its training that were rung for."""
    state_looked: float = 0.0
    changes: int = 0
    """Counts what came, so that a screen can tell whether it has shown it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What its config.yaml says; read with its history, for stages that show some of it."""
    told_more: bool = False
    """Whether a run that did not go on when it was read has been seen to have told more since."""

    @property
    def active(self) -> bool:
        return is_active(self.state)

    @property
    def evaluates(self) -> bool:
        """Whether it is an evaluation, not a training."""
        return self.summary.kind == EVALUATION

    @property
    def is_pipeline(self) -> bool:
        """Whether it trains nothing itself: its steps are runs of their own."""
        return bool(self.summary.steps)

    @property
    def stage(self) -> TrainingStage:
        """Of a training."""
        return self.summary.stage

    @property
    def progress(self) -> float | None:
        return self.history.progress if self.history is not None else self.summary.progress


RunsListener: TypeAlias = Callable[[bool], None]
"""Told after something came; whether the list itself changed."""


class RunWatcher:
    """Knows the runs.

    Args:
        workspace: whose runs.
        alarm: told when a run ends, fails or diverges, of those that were seen running.
    """

    def __init__(self, workspace: Workspace, *, alarm: Callable[[Alarm], None]) -> None:
        self.workspace = workspace
        self.runs: dict[Path, Watched] = {}
        """The oldest first."""
        self.scanned = False
        self.selected: Path | None = None
        """The run that was looked at last: the Train screen comes back to it."""
        self._alarm = alarm
        self._listeners: list[RunsListener] = []
        self._glanced: object = None
        self._glanced_at = self._scanned_at = 0.0
        self._wanted: list[Path] = []
        self._hurry = asyncio.Event()

    # --- for screens ---

    def subscribe(self, listener: RunsListener) -> Callable[[], None]:
        """Be told of changes; call what is returned to hear no more."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def look_again(self) -> None:
        """Look at the folders now: one was started, resumed or deleted here."""
        self._scanned_at = 0.0
        self._hurry.set()

    def want(self, path: Path) -> None:
        """Read all of this run, for its curves."""
        watched = self.runs.get(path)
        if watched is not None and watched.history is None and path not in self._wanted:
            self._wanted.insert(0, path)
            self._hurry.set()

    @property
    def active(self) -> list[Watched]:
        """The runs that go on, or wait for their turn."""
        return [watched for watched in self.runs.values() if watched.active]

    @property
    def trainings(self) -> dict[Path, Watched]:
        return {path: watched for path, watched in self.runs.items() if not watched.evaluates}

    @property
    def evaluations(self) -> dict[Path, Watched]:
        return {path: watched for path, watched in self.runs.items() if watched.evaluates}

    # --- watching ---

    async def watch(self) -> None:
        """Look and tell, until cancelled."""
        while True:
            changed = await self._scan() if await self._due() else False
            came = await self._read()
            if changed or came:
                for listener in list(self._listeners):
                    listener(changed)
            self._hurry.clear()
            busy = self.active or self._wanted
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), POLL_SECONDS if busy else _GLANCE_SECONDS)

    async def _due(self) -> bool:
        now = time.monotonic()
        if self._scanned_at and now - self._glanced_at < _GLANCE_SECONDS:
            return False
        self._glanced_at = now
        glance = await asyncio.to_thread(_glance, self.workspace)
        old = now - self._scanned_at > _SCAN_SECONDS or self._scanned_at == 0.0
        if glance == self._glanced and not old:
            return False
        self._glanced = glance
        return True

    async def _scan(self) -> bool:
        """Take in which runs there are; whether that changed."""
        self._scanned_at = time.monotonic()
        try:
            found = await asyncio.to_thread(self._summaries)
        except FinetuiError:
            return False
        before = {path: (watched.summary, watched.state) for path, watched in self.runs.items()}
        self.runs = {path: self._watched(path, name, summary) for path, (name, summary) in found.items()}
        first, self.scanned = not self.scanned, True
        self._want_strips()
        return first or before != {path: (watched.summary, watched.state) for path, watched in self.runs.items()}

    def _summaries(self) -> dict[Path, tuple[str, RunSummary]]:
        found = {}
        for run in list_runs(self.workspace):
            known = self.runs.get(run.path)
            following = known is not None and known.active and known.history is not None
            summary = known.summary if known is not None and following else summarise(run)
            found[run.path] = (run_name(run, self.workspace), summary)
        return found

    def _watched(self, path: Path, name: str, summary: RunSummary) -> Watched:
        known = self.runs.get(path)
        if known is None:
            return Watched(summary.run, name, summary, state=summary.state)
        if not known.active:
            if is_active(summary.state) and known.history is None:
                self._wanted.insert(0, path)
            known.state = summary.state
            known.told_more = known.history is not None and known.history.follower.unread()
        known.summary = summary
        return known

    def _want_strips(self) -> None:
        """Runs that go on are followed at once, small ended ones are read for their strip."""
        for path, watched in reversed(self.runs.items()):
            small = watched.active or _size(watched.run.events) <= _STRIP_BYTES
            if watched.history is None and small and path not in self._wanted:
                self._wanted.append(path)
        self._wanted.sort(key=lambda path: path in self.runs and not self.runs[path].active)

    async def _read(self) -> bool:
        came = False
        for watched in list(self.runs.values()):
            if watched.history is not None and (watched.active or watched.told_more or watched.history.behind):
                watched.told_more = False
                came = self._follow(watched, watched.history) or came
        if self._wanted:
            path = self._wanted.pop(0)
            watched_now = self.runs.get(path)
            if watched_now is not None and watched_now.history is None:
                history = History(watched_now.run)
                await asyncio.to_thread(_read_all, history)
                if watched_now.stage != "sft":
                    watched_now.options = await asyncio.to_thread(_options, watched_now.run)
                watched_now.history = history
                watched_now.changes += 1
                came = True
        return came

    def _follow(self, watched: Watched, history: History) -> bool:
        events = history.update()
        for event in events:
            match event:
                case RunStarted():
                    watched.diverged = False
                    watched.alarmed.clear()
                case Step():
                    self._watch_loss(watched, history, event)
                case Warned():
                    self._watch_alarms(watched, history, event)
        now, before = time.monotonic(), watched.state
        if events or now - watched.state_looked > _STATE_SECONDS:
            watched.state, watched.state_looked = history.state, now
        changed = bool(events) or watched.state != before
        if changed:
            watched.changes += 1
        if is_active(before) and not watched.active:
            watched.summary = summarise(watched.run)
            self._alarm(_ending(watched, history))
        return changed

    def _watch_loss(self, watched: Watched, history: History, event: Step) -> None:
        """One warning for a run whose loss has risen far above where it began; a policy's loss says nothing."""
        if watched.stage == "ppo":
            return
        first = [point.high for point in history.curves["loss"].slices[:_FIRST_POINTS]]
        start = max((loss for loss in first if math.isfinite(loss)), default=math.inf)
        if watched.diverged or not event.loss > _DIVERGED * start + 0.5:
            return
        watched.diverged = True
        detail = _("loss {loss:.4g} at step {n}").format(loss=event.loss, n=event.step)
        self._alarm(Alarm("diverged", watched.name, _("{name} diverges"), detail))

    def _watch_alarms(self, watched: Watched, history: History, event: Warned) -> None:
        """What a stage with alarms of its own warns of while it trains; once for each kind."""
        kind = alarm_kind(event.message)
        alarms = watched.stage != "sft" and history.alarms and history.alarms[-1][1] is event
        if alarms and kind not in watched.alarmed:
            watched.alarmed.add(kind)
            detail = ". ".join(filter(None, (event.message, event.hint)))
            self._alarm(Alarm("warned", watched.name, _("{name}: alarm"), detail))


def _ending(watched: Watched, history: History) -> Alarm:
    """How a run that was going on has ended."""
    failed, finished = history.failed, history.finished
    if watched.state == "failed" and failed is not None:
        return Alarm("failed", watched.name, _("{name} failed"), ". ".join(filter(None, (failed.error, failed.hint))))
    if watched.state == "stopped" and finished is not None:
        told = _answers_told(history) if watched.evaluates else _("at step {n}").format(n=finished.step)
        return Alarm("stopped", watched.name, _("{name} has stopped"), told)
    if watched.state == "finished" and finished is not None:
        told = _answers_told(history) if watched.evaluates else _results(finished)
        return Alarm("finished", watched.name, _("{name} is finished"), told)
    return Alarm("lost", watched.name, _("{name} is lost"), _("its processes are gone without a word"))


def _answers_told(history: History) -> str:
    """`200 answers`, `120 of 200 answers`; and how many failed."""
    answered = history.answered
    if answered is None:
        return ""
    told = plural("{count} answer", "{count} answers", answered.done)
    if answered.done < answered.total:
        told = _("{done} of {total} answers").format(done=answered.done, total=answered.total)
    if answered.failed:
        told += ", " + plural("{count} failed", "{count} failed", answered.failed)
    return told


def _results(event: RunFinished) -> str:
    loss = event.metrics.get("train_loss")
    told = _("{n} steps").format(n=event.step)
    return told if loss is None else told + ", " + _("mean loss {loss:.4g}").format(loss=loss)


def _read_all(history: History) -> None:
    history.update()
    while history.behind:
        history.update()


def _options(run: RunDirectory) -> Mapping[str, str]:
    from core.runs.options import run_options  # YAML, 40 ms: not for who has supervised runs alone

    return run_options(run)


def _glance(workspace: Workspace) -> tuple[float, ...]:
    """What changes when a run comes or goes."""
    paths = (workspace.runs, workspace.state / "runs.json")
    return tuple(_changed(path) for path in paths)


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def watcher_of(app: object) -> RunWatcher:
    """The one watcher of an app's screens."""
    watcher = getattr(app, "watcher", None)
    assert isinstance(watcher, RunWatcher)
    return watcher
