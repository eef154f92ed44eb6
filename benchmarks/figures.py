"""A figure beside its budget, as a row of a table that README.md takes as it is."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and what was promised; `at_least` turns the promise round, no budget is for information."""

    what: str
    value: float
    unit: str
    budget: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.budget is None:
            return True
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    def row(self) -> str:
        budget = "–" if self.budget is None else f"{'≥' if self.at_least else '≤'} {self.budget:g} {self.unit}"
        return f"| {self.what} | {self.value:.3g} {self.unit} | {budget} | {'met' if self.met else '**missed**'} |"


def report(figures: Iterable[Figure]) -> None:
    """Print the figures as they come; end with exit code 1 when one misses its budget."""
    print("| what | measured | budget | |\n| --- | --- | --- | --- |", flush=True)
    missed = False
    for figure in figures:
        print(figure.row(), flush=True)
        missed |= not figure.met
    sys.exit(missed)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all threads, at the scheduler's own grain."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_megabytes(pid: int) -> float:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000
