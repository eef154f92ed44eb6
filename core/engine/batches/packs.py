"""Short rows joined to packs, which count as one row of a batch.

Best-fit decreasing within windows of the shuffled rows: packs are about as full as they can be, and still a random
sample each. They are made once for a training, so that all epochs have the same number of updates.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WINDOW = 2048


@dataclass(frozen=True, eq=False)
class Packs:
    """What batches are counted in: single rows, or packs of some."""

    rows: NDArray[np.int32]
    """Numbers of rows, pack after pack."""
    bounds: NDArray[np.int64] | None
    """[packs + 1]: where each begins in `rows`; None where each is one row."""
    lengths: NDArray[np.int32]
    """[packs]: tokens."""

    def __len__(self) -> int:
        return len(self.lengths)

    def rows_of(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some packs, one pack after the other."""
        if self.bounds is None or not len(units):
            return units
        return np.concatenate([self.rows[self.bounds[u] : self.bounds[u + 1]] for u in units]).astype(np.int64)


def no_packs(lengths: NDArray[np.int32]) -> Packs:
    """Every row by itself."""
    return Packs(np.arange(len(lengths), dtype=np.int32), None, lengths)


def pack(lengths: NDArray[np.int32], most: int, seed: int) -> Packs:
    """Join rows to packs of at most `most` tokens; a longer row is a pack by itself."""
    order = np.random.default_rng([seed, 0x9AC]).permutation(len(lengths)).astype(np.int32)
    rows: list[NDArray[np.int32]] = []
    counts: list[int] = []
    for start in range(0, len(order), _WINDOW):
        packs = _packed(order[start : start + _WINDOW], lengths, most)
        rows += [np.array(members, dtype=np.int32) for members in packs]
        counts += map(len, packs)
    bounds = np.cumsum([0, *counts], dtype=np.int64)
    joined = np.concatenate(rows) if rows else order
    ends = np.cumsum(np.concatenate([[0], lengths[joined]]), dtype=np.int64)
    return Packs(joined, bounds, (ends[bounds[1:]] - ends[bounds[:-1]]).astype(np.int32))


def _packed(window: NDArray[np.int32], lengths: NDArray[np.int32], most: int) -> list[list[int]]:
    """Each row, the longest first, goes where the least room is left over."""
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, pack), sorted
    for row in window[np.argsort(-lengths[window], kind="stable")].tolist():
        length = int(lengths[row])
        at = bisect.bisect_left(room, (length, -1))
        if at < len(room):
            left, number = room.pop(at)
            packs[number].append(row)
        else:
            left, number = most, len(packs)
            packs.append([row])
        if left > length:
            bisect.insort(room, (left - length, number))
    return packs
