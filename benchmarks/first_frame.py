"""From the command to the first frame: processor time and memory, with torch installed and never touched."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.app import FRAME_MARK, a_workspace, start
from benchmarks.figures import Figure, cpu_seconds, median, report, resident_megabytes

CPU_BUDGET = 350.0
MEMORY_BUDGET = 60.0
_RUNS = 7


def one_start() -> tuple[float, float, float]:
    """(CPU ms, wall ms, MB) when the first frame stands."""
    with a_workspace() as workspace, start(workspace) as terminal:
        terminal.wait_for_raw(FRAME_MARK)
        cpu, memory = cpu_seconds(terminal.process.pid), resident_megabytes(terminal.process.pid)
        wall = terminal.reads[-1][0] - terminal.started
        return 1000 * cpu, 1000 * wall, memory


def measure() -> Iterator[Figure]:
    one_start()  # bytecode is written once
    runs = [one_start() for _ in range(_RUNS)]
    yield Figure("first frame, CPU", median(cpu for cpu, _, _ in runs), "ms", CPU_BUDGET)
    yield Figure("first frame, memory", median(memory for _, _, memory in runs), "MB", MEMORY_BUDGET)
    yield Figure("first frame, wall", median(wall for _, wall, _ in runs), "ms")


if __name__ == "__main__":
    report(measure())
