"""What a run has told so far, folded as its events come: curves, where it stands, what it wrote and said.

Screens and commands show this; nobody keeps the events themselves. A resume opens a new segment: what an earlier one
told about later steps than the checkpoint is forgotten.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from core.runs.curve import Curve
from core.runs.events import (
    Answered,
    CheckpointRemoved,
    CheckpointSaved,
    DataReady,
    Evaluation,
    Event,
    ModelReady,
    ModelsBeside,
    PartScored,
    Queued,
    RunFailed,
    RunFinished,
    RunStarted,
    Sample,
    StageChanged,
    Step,
    StepMoved,
    Warned,
)
from core.runs.follow import Follower
from core.runs.foreign import is_foreign_run, read_foreign
from core.runs.rundir import RunDirectory
from core.runs.state import Marks, RunState, derive

_MOST_WARNINGS, _MOST_SAMPLES = 200, 2000
_STEP_CURVES = ("loss", "grad_norm", "learning_rate", "rows_per_second", "tokens_per_second")


class History:
    """A run as far as it has told. `update` reads on; the rest is there to be looked at."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.follower = Follower(run)
        self._foreign_read = False
        self._forget()

    def _forget(self) -> None:
        self.started: RunStarted | None = None
        """The last segment's beginning."""
        self.began = 0.0
        """When the first segment began."""
        self.queued: Queued | None = None
        """What it waits for, while it waits."""
        self.stage: StageChanged | None = None
        self.data: DataReady | None = None
        self.model: ModelReady | None = None
        self.beside: ModelsBeside | None = None
        """What the trained model is held against, and what scores it."""
        self.step: Step | None = None
        self.moved: StepMoved | None = None
        """Which step of a pipeline is busy, or was the last."""
        self.answered: Answered | None = None
        """How far an evaluation is."""
        self.scored: dict[str, PartScored] = {}
        """Of an evaluation, the parts that have their report, by name."""
        self.evaluations: dict[str, Evaluation] = {}
        """The last one of each data set."""
        self.best: Evaluation | None = None
        self.samples: list[Sample] = []
        self.checkpoints: list[CheckpointSaved] = []
        """Those that are still there, in the order of their steps."""
        self.warnings: list[Warned] = []
        self.alarms: list[tuple[int, Warned]] = []
        """Of the warnings, those that came while it trained, each with the step of the last point before it."""
        self.finished: RunFinished | None = None
        self.failed: RunFailed | None = None
        self.curves: dict[str, Curve] = {}
        """By the names that LLaMA-Factory's files use: loss, grad_norm, learning_rate, eval_loss, eval_NAME_loss, …"""
        self.last: Event | None = None
        self._trains = False
        """Whether this segment is past its preparations."""

    @property
    def behind(self) -> bool:
        """Whether the last update left something for the next one."""
        return self.follower.behind

    @property
    def state(self) -> RunState:
        """As of now: a supervisor may have died since the last event."""
        if self._foreign_read:
            return "finished"
        state = derive(self.run, Marks(self.started, self.last))
        # A process that is gone may have said its last word after the last update.
        return "running" if state == "lost" and self.follower.unread() else state

    @property
    def total_steps(self) -> int:
        """0 while it is not known."""
        return self.step.total_steps if self.step else self.data.total_steps if self.data else 0

    @property
    def progress(self) -> float | None:
        """The share of the steps, or of the answers, that is done; None before it is known."""
        if self.finished is not None and self.finished.reason == "completed":
            return 1.0
        if self.answered is not None:
            return self.answered.done / self.answered.total if self.answered.total else None
        if self.moved is not None:
            return self.moved.done / self.moved.total
        done = self.step.step if self.step else 0
        return done / self.total_steps if self.total_steps else None

    def update(self) -> list[Event]:
        """Take in what came since the last time, at most 256 KB of it, and return it."""
        events = self.follower.poll()
        if not events and not self._foreign_read and self.last is None and is_foreign_run(self.run.path):
            self._foreign_read = True
            events = read_foreign(self.run.path)
        for event in events:
            self.add(event)
        return events

    def add(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case RunStarted():
                self._begin(event)
            case Queued():
                self.queued = event
            case StageChanged():
                self.queued, self.stage = None, event
                self._trains = self._trains or event.stage == "training"
            case DataReady():
                self.data = event
            case ModelReady():
                self.model = event
            case ModelsBeside():
                self.beside = event
            case Step():
                self.step = event
                self._put(event.step, _step_values(event))
            case StepMoved():
                self.moved = event
            case Evaluation():
                self._evaluated(event)
            case Answered():
                self.answered = event
            case PartScored():
                self.scored[event.part] = event
            case Sample():
                self.samples = [*self.samples, event][-_MOST_SAMPLES:]
            case CheckpointSaved():
                self._saved(event)
            case CheckpointRemoved():
                self.checkpoints = [saved for saved in self.checkpoints if saved.path != event.path]
            case Warned():
                self._warned(event)
            case RunFinished():
                self.finished, self.queued = event, None
            case RunFailed():
                self.failed, self.queued = event, None
        if not isinstance(event, Warned):
            self.last = event

    def _begin(self, event: RunStarted) -> None:
        if event.segment <= 1:
            self._forget()
            self.began = event.time
        self.started, self.finished, self.failed, self.stage = event, None, None, None
        self._trains = False
        if event.segment > 1:
            self._rewind(step_of(event.resumed_from))

    def _rewind(self, step: int) -> None:
        """Forget what was told about later steps: they are done again."""
        for curve in self.curves.values():
            curve.cut(step)
        self.samples = [sample for sample in self.samples if sample.step <= step]
        self.alarms = [(at, warned) for at, warned in self.alarms if at <= step]
        self.evaluations = {name: told for name, told in self.evaluations.items() if told.step <= step}
        if self.best is not None and self.best.step > step:
            self.best = None
        if self.step is not None and self.step.step > step:
            self.step = dataclasses.replace(self.step, step=step, loss=self.curves["loss"].last)

    def _warned(self, event: Warned) -> None:
        """What is told before it trains is about how it was started, what comes later about how it goes."""
        self.warnings = [*self.warnings, event][-_MOST_WARNINGS:]
        if self._trains:
            self.alarms = [*self.alarms, (self.step.step if self.step else 0, event)][-_MOST_WARNINGS:]

    def _saved(self, event: CheckpointSaved) -> None:
        """A checkpoint that is the best takes the word from the one that was; the end's weights may be the best's."""
        kept = [saved for saved in self.checkpoints if saved.path != event.path]
        if event.best and event.path != ".":
            kept = [dataclasses.replace(saved, best=False) for saved in kept]
        self.checkpoints = sorted([*kept, event], key=lambda saved: saved.step)

    def _evaluated(self, event: Evaluation) -> None:
        self.evaluations[event.dataset] = event
        if event.best:
            self.best = event
        prefix = f"eval_{event.dataset}_" if event.dataset else "eval_"
        self._put(event.step, {prefix + name: value for name, value in event.metrics.items()})

    def _put(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.curves.setdefault(name, Curve()).add(step, value)


def read_history(run: RunDirectory) -> History:
    """All of what a run has told until now."""
    history = History(run)
    history.update()
    while history.behind:
        history.update()
    return history


def _step_values(event: Step) -> dict[str, float]:
    return {**{name: getattr(event, name) for name in _STEP_CURVES}, **event.metrics}


def step_of(checkpoint: str) -> int:
    """`step-000200` → 200; 0 for anything else, from which a segment begins anew."""
    number = checkpoint.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def alarm_kind(message: str) -> str:
    """What an alarm is about, whatever the numbers in it are."""
    return re.sub(r"[-+\d.,]+", "", message)
