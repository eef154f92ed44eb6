"""A run in one line: what lists show. Read from the end of its events: a hundred long runs are listed at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from core.runs.events import Answered, DataReady, Evaluation, Event, RunFailed, RunFinished, Step
from core.runs.foreign import is_foreign_run, read_foreign
from core.runs.launch_file import read_launch
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
    dataset: str = ""
    launched: float = 0.0
    """When it was started, or resumed the last time."""
    step: int = 0
    """Of an evaluation: answers."""
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
    answered = _last(events, Answered)
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
        dataset=",".join(launch.datasets),
        launched=launch.time or (events[0].time if events else 0.0),
        step=max(step.step if step else answered.done if answered else 0, ended.step if ended else 0),
        total_steps=step.total_steps if step else answered.total if answered else data.total_steps if data else 0,
        epoch=step.epoch if step else 0.0,
        loss=step.loss if step else None,
        metrics=step.metrics if step else {},
        eval_loss=looked.metrics.get("loss") if looked else None,
        elapsed=point.elapsed if point else 0.0,
        remaining=point.remaining if point else 0.0,
        error=failed.error if failed and events[-1] is failed else "",
    )


def _last(events: list[Event], kind: type[E]) -> E | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)
