"""What rows outside the training say: the loss, and whatever else the objective counts.

Rows are shared among the processes; the longest stand together, so that little is padded. When memory is short a batch
is halved: the sums are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.batches.batch import EncodedRow
from core.engine.forward.choose import Forward
from core.engine.shortage import is_out_of_memory
from core.engine.training.memory import free_unused
from core.engine.training.processes import Processes
from core.runs.events import Evaluation

T = TypeVar("T")


class Rows(Protocol):
    """Rows of tokens, by number."""

    lengths: NDArray[np.int32]
    targets: NDArray[np.int32]
    """Tokens with loss."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> EncodedRow: ...


@dataclass(frozen=True)
class EvaluationSet:
    """Rows that are evaluated together."""

    name: str
    """Empty for rows that were kept out of the training set."""
    rows: Rows


@dataclass(frozen=True)
class Evaluated:
    """An evaluation: of each data set, and of all rows together."""

    results: tuple[Evaluation, ...]
    metrics: Mapping[str, float]
    rows: int
    batches: int
    seconds: float
    epoch: float

    def marked(self, best: bool) -> Evaluated:
        """The same, with the mark of the best so far."""
        return replace(self, results=tuple(replace(result, best=best) for result in self.results))

    @property
    def judged(self) -> dict[str, float]:
        """Every metric that the best model can be told by: of all rows, and of each set as `NAME_loss`."""
        apart = {f"{one.dataset}_{name}": value for one in self.results for name, value in one.metrics.items()}
        return {**apart, **self.metrics}


class Measures(Protocol):
    """What an evaluation asks of an objective; see `core.engine.objectives`."""

    @property
    def evaluation_names(self) -> tuple[str, ...]: ...

    def measure(self, forward: Forward, rows: Rows, numbers: Sequence[int]) -> Sums: ...

    def metrics(self, loss: float, counted: Mapping[str, float]) -> dict[str, float]: ...


class Sums(Protocol):
    """What some rows say."""

    @property
    def sum(self) -> Tensor: ...

    @property
    def units(self) -> int: ...

    @property
    def counted(self) -> Mapping[str, float | Tensor]: ...


def evaluate(
    forward: Forward,
    objective: Measures,
    sets: Sequence[EvaluationSet],
    processes: Processes,
    *,
    batch_rows: int,
    step: int,
    epoch: float,
) -> Evaluated:
    """Evaluate all sets with the weights as they are."""
    forward.train(False)
    try:
        results, batches = [], 0
        total = torch.zeros(2 + len(objective.evaluation_names), dtype=torch.float64)
        began = time.perf_counter()
        for one in sets:
            started = time.perf_counter()
            sums, count = _sums(forward, objective, one.rows, processes, batch_rows)
            seconds = time.perf_counter() - started
            metrics = _metrics(objective, sums)
            results.append(Evaluation(time.time(), step, epoch, metrics, len(one.rows), seconds, one.name))
            total += sums
            batches += count
        seconds = time.perf_counter() - began
    finally:
        forward.train(True)
    rows = sum(result.rows for result in results)
    return Evaluated(tuple(results), _metrics(objective, total), rows, batches, seconds, epoch)


def _sums(
    forward: Forward, objective: Measures, rows: Rows, processes: Processes, batch_rows: int
) -> tuple[Tensor, int]:
    """Summed loss, units, and what is counted, of all processes; and in how many batches."""
    longest_first: list[int] = np.argsort(-rows.lengths, kind="stable").tolist()
    mine = longest_first[processes.rank :: processes.world]
    sums = torch.zeros(2 + len(objective.evaluation_names), dtype=torch.float64)
    parts = list(in_parts(mine, batch_rows))
    for part in parts:
        sums += _sums_of(forward, objective, rows, part, processes)
    if processes.world > 1:
        sums = processes.sum(sums.to(processes.device)).cpu()
    return sums, len(parts)


def in_parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Consecutive pieces of a size; the last one has what is left."""
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _sums_of(forward: Forward, objective: Measures, rows: Rows, numbers: Sequence[int], processes: Processes) -> Tensor:
    def measured(some: Sequence[int]) -> Tensor:
        found = objective.measure(forward, rows, some)
        counted = [float(found.counted[name]) for name in objective.evaluation_names]
        return torch.tensor([float(found.sum), found.units, *counted], dtype=torch.float64)

    return sum(without_graph(measured, numbers, processes), torch.zeros((), dtype=torch.float64))


def without_graph(compute: Callable[[Sequence[int]], T], numbers: Sequence[int], processes: Processes) -> list[T]:
    """Compute something of rows without a gradient, in as many pieces as memory asks for; their order stays."""
    try:
        with torch.no_grad(), processes.autocast():
            return [compute(numbers)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(numbers) == 1:
            raise
    free_unused(processes.device)  # outside the handler, which still holds what did not fit
    half = len(numbers) // 2
    return without_graph(compute, numbers[:half], processes) + without_graph(compute, numbers[half:], processes)


def _metrics(objective: Measures, sums: Tensor) -> dict[str, float]:
    total, units, *counted = sums.tolist()
    means = [one / max(units, 1.0) for one in (total, *counted)]
    return objective.metrics(means[0], dict(zip(objective.evaluation_names, means[1:], strict=True)))
