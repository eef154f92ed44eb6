"""F3 while a run goes on: a point a second, drawn into live curves. What the point costs must not grow with the run.

The run is scripted by this process; its values scatter like measured ones, so that scales and cells change as they do
in earnest.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from benchmarks.app import FRAME_MARK, a_workspace, start, written_within
from benchmarks.figures import Figure, cpu_seconds, report
from core.jsonl import append_lines
from core.records import to_record
from core.runs.events import Step
from core.runs.quantities import QUANTITIES, TrainingStage
from scripted_runs import ScriptedRun
from terminal import Terminal

CPU_BUDGET, BYTES_BUDGET = 2.0, 20.0
_LENGTHS = (200, 20_000)
_SETTLE, _SECONDS = 5.0, 20.0


def measure() -> Iterator[Figure]:
    stages: tuple[TrainingStage, ...] = ("sft", "ppo")
    for stage in stages:
        for points in _LENGTHS:
            yield from _live(stage, points)


def _live(stage: TrainingStage, points: int) -> Iterator[Figure]:
    with a_workspace() as workspace:
        run = ScriptedRun(workspace.runs / "live", total=points * 2, stage=stage)
        run.start()
        run.ready()
        numbers = random.Random(points)
        _begun(run, stage, points, numbers)
        with start(workspace) as terminal:
            terminal.wait_for_raw(FRAME_MARK)
            terminal.press("f3")
            terminal.wait_for_raw(f"step {points}/{run.total}".encode())  # all of it has been read
            _write_on(terminal, run, stage, points, numbers, _SETTLE)
            begun, before = time.perf_counter(), cpu_seconds(terminal.process.pid)
            _write_on(terminal, run, stage, points + int(_SETTLE), numbers, _SECONDS)
            ended, after = time.perf_counter(), cpu_seconds(terminal.process.pid)
            written = written_within(terminal, begun, ended)
    what = f"{stage} run of {points:,} points, one a second"
    yield Figure(f"{what}, CPU", 100 * (after - before) / (ended - begun), "%", CPU_BUDGET)
    yield Figure(f"{what}, written", written / 1000 / (ended - begun), "KB/s", BYTES_BUDGET)


def _begun(run: ScriptedRun, stage: TrainingStage, points: int, numbers: random.Random) -> None:
    """What the run has told before anybody looks."""
    append_lines(run.run.events, *(to_record(_point(run, stage, step, numbers)) for step in range(1, points + 1)))


def _write_on(
    terminal: Terminal, run: ScriptedRun, stage: TrainingStage, last: int, numbers: random.Random, seconds: float
) -> None:
    begun = time.perf_counter()
    for second in range(int(seconds)):
        run.tell(_point(run, stage, last + 1 + second, numbers))
        while time.perf_counter() < begun + second + 1:
            terminal.pump(0.1)


def _point(run: ScriptedRun, stage: TrainingStage, step: int, numbers: random.Random) -> Step:
    """A loss that falls, and what its stage measures, all with scatter."""
    run.now += 1.0
    share = step / run.total
    metrics = {quantity.name: 1 + share + numbers.gauss(0, 0.2) for quantity in QUANTITIES[stage]}
    return Step(
        time=run.now,
        step=step,
        total_steps=run.total,
        epoch=3 * share,
        loss=2 / (1 + 5 * share) + numbers.gauss(0, 0.1),
        grad_norm=1 + abs(numbers.gauss(0, 0.3)),
        learning_rate=5e-5 * (1 - share),
        rows=8 * step,
        tokens=400 * step,
        rows_per_second=8 + numbers.gauss(0, 0.5),
        tokens_per_second=400 + numbers.gauss(0, 20),
        elapsed=float(step),
        remaining=float(run.total - step),
        memory=900_000_000 + numbers.randrange(10_000_000),
        metrics=metrics,
    )


if __name__ == "__main__":
    report(measure())
