"""Rows of tokens by numbers of their own, as a stage learns from them: answers here, the others in their modules.

The numbers that options and orders speak of are those of examples that became tokens: a pair is one of them, although
its two answers are stored as two rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.engine.batches.batch import EncodedRow
from core.engine.batches.encoded_set import EncodedSet
from core.engine.batches.pairs import PairRows
from core.engine.batches.prompts import PromptRows
from core.engine.batches.recipe import Recipe


class RowsOf:
    """Some rows of a set of answers."""

    def __init__(self, whole: EncodedSet, numbers: NDArray[np.int32] | None = None) -> None:
        self._whole = whole
        self._numbers = np.arange(len(whole), dtype=np.int32) if numbers is None else numbers
        self.lengths: NDArray[np.int32] = whole.lengths[self._numbers]
        self.targets: NDArray[np.int32] = whole.targets[self._numbers]
        self.projected = self.targets
        """Tokens whose probabilities are computed."""
        self.examples: NDArray[np.int32] = whole.examples[self._numbers]
        """The numbers of the examples they were made of."""

    def __len__(self) -> int:
        return len(self._numbers)

    def only(self, indices: Sequence[int]) -> RowsOf:
        """Some of them, numbered anew."""
        return RowsOf(self._whole, self._numbers[list(indices)])

    def row(self, index: int) -> EncodedRow:
        return self._whole.row(int(self._numbers[index]))


StageRows: TypeAlias = RowsOf | PairRows | PromptRows


def rows_of(recipe: Recipe, whole: EncodedSet, numbers: NDArray[np.int32] | None = None) -> StageRows:
    """Some rows of a set, as its recipe's stage learns from them; all without numbers."""
    match recipe.kind:
        case "answers":
            return RowsOf(whole, numbers)
        case "pairs":
            return PairRows(whole, numbers)
        case "prompts":
            return PromptRows(whole, recipe, numbers)
