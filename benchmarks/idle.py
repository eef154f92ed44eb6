"""An app that nobody touches: nothing is written, next to nothing is computed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.app import FRAME_MARK, a_workspace, start, written_within
from benchmarks.figures import Figure, cpu_seconds, report

BYTES_BUDGET = 0.0
CPU_BUDGET = 0.3
_SETTLE, _SECONDS = 3.0, 20.0


def measure() -> Iterator[Figure]:
    with a_workspace() as workspace, start(workspace) as terminal:
        terminal.wait_for_raw(FRAME_MARK)
        terminal.settle(_SETTLE)  # the model is loaded, every toast gone
        begun, before = time.perf_counter(), cpu_seconds(terminal.process.pid)
        while time.perf_counter() < begun + _SECONDS:
            terminal.pump(0.5)
        ended, after = time.perf_counter(), cpu_seconds(terminal.process.pid)
        written = written_within(terminal, begun, ended)
    yield Figure("idle, written", written / (ended - begun), "B/s", BYTES_BUDGET)
    yield Figure("idle, CPU", 100 * (after - before) / (ended - begun), "%", CPU_BUDGET)


if __name__ == "__main__":
    report(measure())
