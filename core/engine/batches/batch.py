"""Rows of tokens, and the few of them that are computed at once.

A batch says what is computed, not how it is laid out: whether rows stand padded below one another or end to end in one
long line is the matter of `core.engine.forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EncodedRow:
    """One example as tokens."""

    ids: NDArray[np.int32]
    """[length]"""
    trained: NDArray[np.bool_]
    """[length]: whether a token bears loss, as what is predicted from those before it. The first never does."""

    @property
    def targets(self) -> int:
        """How many tokens bear loss."""
        return int(self.trained[1:].sum())


@dataclass(frozen=True)
class Batch:
    """A micro-batch: rows that go through the model at once. None of them sees another."""

    rows: Sequence[EncodedRow]
    families: tuple[tuple[int, ...], ...] | None = None
    """Rows that may begin alike, by their numbers, each in one family: what they share is computed once for a family.
    None: all rows are one family."""

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)

    @property
    def targets(self) -> int:
        return sum(row.targets for row in self.rows)

    @property
    def kin(self) -> tuple[tuple[int, ...], ...]:
        """The families, also where none are named."""
        return (tuple(range(len(self.rows))),) if self.families is None else self.families


def common_prefix(rows: Sequence[EncodedRow]) -> int:
    """How many leading tokens rows have in common, none of them with loss; each row has at least one more."""
    shared = min(_untrained(row) for row in rows)
    first = rows[0].ids
    for row in rows[1:]:
        differs = np.flatnonzero(first[:shared] != row.ids[:shared])
        shared = int(differs[0]) if len(differs) else shared
    return max(0, min(shared, min(len(row.ids) for row in rows) - 1))


def _untrained(row: EncodedRow) -> int:
    """How many tokens stand before the first with loss."""
    return int(np.argmax(row.trained)) if row.trained.any() else len(row.ids)
