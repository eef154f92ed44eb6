"""What rows outside the training say: loss, perplexity, and how often the likeliest token is the right one.

Rows are shared among the processes; the longest stand together, so that little is padded. When memory is short a batch
is halved: the sums are the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.batches.batch import Batch, EncodedRow
from core.engine.forward.choose import Forward
from core.engine.shortage import is_out_of_memory
from core.engine.training.memory import free_unused
from core.engine.training.processes import Processes
from core.runs.events import Evaluation


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


def evaluate(
    forward: Forward, sets: Sequence[EvaluationSet], processes: Processes, *, batch_rows: int, step: int, epoch: float
) -> Evaluated:
    """Evaluate all sets with the weights as they are."""
    forward.train(False)
    try:
        results, total, batches = [], torch.zeros(3, dtype=torch.float64), 0
        began = time.perf_counter()
        for one in sets:
            started = time.perf_counter()
            sums, count = _sums(forward, one.rows, processes, batch_rows)
            seconds = time.perf_counter() - started
            results.append(Evaluation(time.time(), step, epoch, _metrics(sums), len(one.rows), seconds, one.name))
            total += sums
            batches += count
        seconds = time.perf_counter() - began
    finally:
        forward.train(True)
    rows = sum(result.rows for result in results)
    return Evaluated(tuple(results), _metrics(total), rows, batches, seconds, epoch)


def _sums(forward: Forward, rows: Rows, processes: Processes, batch_rows: int) -> tuple[Tensor, int]:
    """Summed loss, targets and right guesses of all processes; and in how many batches."""
    longest_first: list[int] = np.argsort(-rows.lengths, kind="stable").tolist()
    mine = longest_first[processes.rank :: processes.world]
    sums = torch.zeros(3, dtype=torch.float64)
    parts = list(_parts(mine, batch_rows))
    for part in parts:
        sums += _loss_of(forward, Batch([rows.row(index) for index in part]), processes)
    if processes.world > 1:
        sums = processes.sum(sums.to(processes.device)).cpu()
    return sums, len(parts)


def _parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _loss_of(forward: Forward, batch: Batch, processes: Processes) -> Tensor:
    try:
        with torch.no_grad(), processes.autocast():
            loss = forward.loss(batch)
        return torch.tensor([float(loss.sum), loss.targets, loss.correct], dtype=torch.float64)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(batch.rows) == 1:
            raise
    free_unused(processes.device)  # outside the handler, which still holds what did not fit
    half = len(batch.rows) // 2
    return _loss_of(forward, Batch(batch.rows[:half]), processes) + _loss_of(
        forward, Batch(batch.rows[half:]), processes
    )


def _metrics(sums: Tensor) -> dict[str, float]:
    total, targets, correct = sums.tolist()
    loss = total / max(targets, 1.0)
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # e^710 is no float any more
        "accuracy": correct / max(targets, 1.0),
    }
