"""What the stages that learn from pairs of answers have in common: batches of pairs, and numbers of whole sets of them.

Whatever is told of a pair is told of its two rows, the better one first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from core.engine.batches.batch import Batch
from core.engine.batches.pairs import PairRows, batch_of
from core.engine.forward.choose import Forward
from core.engine.training.evaluate import Rows, in_parts, without_graph
from core.engine.training.processes import Processes

PAIR_NAMES = ("accuracy", "margin", "chosen_reward", "rejected_reward")


def pairs_of(rows: Rows) -> PairRows:
    """The rows of a stage that learns from pairs."""
    if not isinstance(rows, PairRows):
        raise TypeError(f"pairs are needed, not {type(rows).__name__}")
    return rows


def batch_of_pairs(rows: Rows, numbers: Sequence[int]) -> Batch:
    """Pairs by their numbers: rows 2i and 2i + 1 are the better and the worse answer of the i-th."""
    pairs = pairs_of(rows)
    return batch_of([pairs.pair(number) for number in numbers])


def counted_rewards(chosen: Tensor, rejected: Tensor) -> Mapping[str, Tensor]:
    """What is told of rewards, float32 [pairs] each, added up; a draw counts as half."""
    chosen, rejected = chosen.detach(), rejected.detach()
    ahead = (chosen > rejected).float() + 0.5 * (chosen == rejected).float()
    sums = (ahead.sum(), (chosen - rejected).sum(), chosen.sum(), rejected.sum())
    return dict(zip(PAIR_NAMES, sums, strict=True))


def over_pairs(
    rows: Rows,
    compute: Callable[[Batch], Tensor],
    processes: Processes,
    *,
    batch_rows: int,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """Compute a number for both answers of every pair, the processes sharing the work.

    Args:
        compute: float [2 · pairs of a batch], in the batch's order.
        batch_rows: pairs at once, or fewer when memory is short.

    Returns:
        float32 [pairs, 2] on the CPU, in every process.
    """
    longest_first: list[int] = np.argsort(-rows.lengths, kind="stable").tolist()
    mine = longest_first[processes.rank :: processes.world]
    found = torch.zeros(len(rows), 2, device=processes.device)
    for done, part in enumerate(in_parts(mine, batch_rows)):
        on_progress(done * batch_rows / len(mine))
        values = over_part(part, processes, lambda some: compute(batch_of_pairs(rows, some)))
        found[torch.tensor(part)] = values.float().reshape(-1, 2).to(processes.device)
    return processes.sum(found).cpu()


def over_part(numbers: Sequence[int], processes: Processes, compute: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Compute something of some rows without a gradient, in as many pieces as memory asks for."""
    return torch.cat(without_graph(compute, numbers, processes))


def answers_likely(forward: Forward, batch: Batch) -> Tensor:
    """How likely each row's answer is, in nats, float32 [rows]; with a graph while the forward trains."""
    states = forward.target_states(batch)
    return by_row(batch, forward.projection.log_probabilities(states.hidden, states.targets))


def by_row(batch: Batch, of_targets: Tensor) -> Tensor:
    """What is told of targets, [targets] in the batch's order, added up by row: [rows]."""
    counts = torch.tensor([row.targets for row in batch.rows], device=of_targets.device)
    rows = torch.repeat_interleave(torch.arange(len(counts), device=of_targets.device), counts)
    return of_targets.new_zeros(len(counts)).index_add(0, rows, of_targets)
