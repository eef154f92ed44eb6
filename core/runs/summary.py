"""A run in one line: what lists show. Read from the end of its events: a hundred long runs are listed at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from core.runs.events import Answered, DataReady, Evaluation, Event, RunFailed, RunFinished, Step, StepMoved
from core.runs.foreign import is_foreign_run, read_foreign
from core.runs.launch_file import QueuedRun, read_launch
from core.runs.quantities import TrainingStage, stage_named
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, state_of, tail

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where a run stands. What is not known is 0, empty or None."""

    run: RunDirectory
    state: RunState
    kind: str = "train"
    model: str = ""
    method: str = ""
    stage: TrainingStage = "sft"
    """Of a training."""
    subjects: tuple[str, ...] = ()
    """Who answers in an evaluation."""
    pipeline: str = ""
    """The pipeline that it is a step of."""
    steps: tuple[QueuedRun, ...] = ()
    """Of a pipeline."""
    dataset: str = ""
    launched: float = 0.0
    """When it was started, or resumed the last time."""
    step: int = 0
    """Of an evaluation: answers; of a pipeline: its steps that are done."""
    total_steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    eval_loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the stage tells besides, at the last point."""
    elapsed: float = 0.0
    remaining: float = 0.0
    error: str = ""

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def progress(self) -> float | None:
        """The share of the steps or answers that is done; None where their number is not known."""
        return self.step / self.total_steps if self.total_steps else None


def summarise(run: RunDirectory) -> RunSummary:
    """Read what a run's line says."""
    foreign = is_foreign_run(run.path)
    events = read_foreign(run.path) if foreign else tail(run)
    launch = read_launch(run)
    step, data = _last(events, Step), _last(events, DataReady)
    answered, moved = _last(events, Answered), _last(events, StepMoved)
    point = step or answered
    ended, failed, looked = _last(events, RunFinished), _last(events, RunFailed), _last(events, Evaluation)
    return RunSummary(
        run,
        "finished" if foreign else state_of(run),
        kind=launch.kind,
        model=launch.model,
        method=launch.method,
        stage=stage_named(launch.stage),
        subjects=launch.subjects,
        pipeline=launch.pipeline,
        steps=launch.steps,
        dataset=",".join(launch.datasets),
        launched=launch.time or (events[0].time if events else 0.0),
        step=max(_done(step or answered or moved), ended.step if ended else 0),
        total_steps=_total(step or answered or moved or data),
        epoch=step.epoch if step else 0.0,
        loss=step.loss if step else None,
        metrics=step.metrics if step else {},
        eval_loss=looked.metrics.get("loss") if looked else None,
        elapsed=point.elapsed if point else 0.0,
        remaining=point.remaining if point else 0.0,
        error=failed.error if failed and events[-1] is failed else "",
    )


def _done(point: Step | Answered | StepMoved | None) -> int:
    match point:
        case Step(step=done) | Answered(done=done) | StepMoved(done=done):
            return done
    return 0


def _total(point: Step | Answered | StepMoved | DataReady | None) -> int:
    match point:
        case Step(total_steps=total) | Answered(total=total) | StepMoved(total=total) | DataReady(total_steps=total):
            return total
    return 0


def _last(events: list[Event], kind: type[E]) -> E | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)
