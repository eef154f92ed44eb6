"""Pairs of answers as rows of tokens: stored as neighbours, the better one first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.engine.batches.batch import Batch, EncodedRow
from core.engine.batches.encoded_set import EncodedSet


@dataclass(frozen=True)
class Pair:
    """Two conversations that differ in their last answer, which alone bears loss and is where they end."""

    chosen: EncodedRow
    rejected: EncodedRow


class PairRows:
    """Some pairs of a set. Each counts as one row, with the tokens of both answers and one target: itself."""

    def __init__(self, whole: EncodedSet, numbers: NDArray[np.int32] | None = None) -> None:
        self._whole = whole
        self._numbers = np.arange(len(whole) // 2, dtype=np.int32) if numbers is None else numbers
        self.lengths: NDArray[np.int32] = whole.lengths.reshape(-1, 2).sum(1, dtype=np.int32)[self._numbers]
        self.targets: NDArray[np.int32] = np.ones(len(self._numbers), dtype=np.int32)
        self.projected: NDArray[np.int32] = whole.targets.reshape(-1, 2).sum(1, dtype=np.int32)[self._numbers]
        """Tokens of both answers, whose probabilities are computed where a stage asks for them."""
        self.examples: NDArray[np.int32] = whole.examples[::2][self._numbers]
        """The numbers of the comparisons they were made of."""

    def __len__(self) -> int:
        return len(self._numbers)

    def only(self, indices: Sequence[int]) -> PairRows:
        """Some of them, numbered anew."""
        return PairRows(self._whole, self._numbers[list(indices)])

    def row(self, index: int) -> EncodedRow:
        """The better answer's."""
        return self._whole.row(2 * int(self._numbers[index]))

    def pair(self, index: int) -> Pair:
        first = 2 * int(self._numbers[index])
        return Pair(self._whole.row(first), self._whole.row(first + 1))


def batch_of(pairs: list[Pair]) -> Batch:
    """Pairs as a batch: row 2i is the better answer of pair i, row 2i + 1 the other; a prompt is computed once."""
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    return Batch(rows, families=tuple((number, number + 1) for number in range(0, len(rows), 2)))
