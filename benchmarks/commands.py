"""Commands that only say something answer at once: nothing heavy, no screens are imported for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, median, report

COMMANDS = (["--version"], ["--help"], ["chat", "--help"], ["models", "--help"], ["doctor", "--help"])
BUDGET = 0.2
_RUNS = 9


def processor_seconds(command: list[str]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of one run."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - started


def measure() -> Iterator[Figure]:
    finetui = str(Path(sys.executable).with_name("finetui"))
    for arguments in COMMANDS:
        processor_seconds([finetui, *arguments])  # bytecode is written once
        runs = [processor_seconds([finetui, *arguments]) for _ in range(_RUNS)]
        name = f"`finetui {' '.join(arguments)}`"
        yield Figure(f"{name}, CPU", median(cpu for cpu, _ in runs), "s", BUDGET)
        yield Figure(f"{name}, wall, best", min(wall for _, wall in runs), "s", BUDGET)  # others' work left out


if __name__ == "__main__":
    report(measure())
