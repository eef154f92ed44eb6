"""Keys and values of what a model has read, kept between turns.

Each conversation has a row of its own: one preallocated tensor that grows by doubling, can be cropped to any length
(a sliding window is a matter of what is looked at, not of what is stored) and remembers its tokens, so that the next
turn reads only what is new. Rows of different lengths answer in one batch without padding; a row can leave a batch
and another can take its place at any step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

_SMALLEST = 256


class Row(Protocol):
    """What a model has read of one conversation."""

    tokens: list[int]

    def crop(self, length: int) -> None:
        """Forget everything behind the first `length` tokens."""

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True)
class Geometry:
    """The shape of one token's keys and values."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device


class KeyValueRow:
    """One conversation's keys and values in one tensor [layers, 2 · kv_heads, capacity, head_dim], keys first."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self.tokens: list[int] = []
        self._put(self._empty(0))

    def _empty(self, capacity: int) -> Tensor:
        g = self._geometry
        return torch.empty(g.layers, 2 * g.kv_heads, capacity, g.head_dim, dtype=g.dtype, device=g.device)

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens; what is stored stays."""
        capacity = self.storage.shape[2]
        if length <= capacity:
            return
        grown = self._empty(max(length, 2 * capacity, _SMALLEST))
        kept = len(self.tokens)
        grown[:, :, :kept] = self.storage[:, :, :kept]
        self._put(grown)

    def _put(self, storage: Tensor) -> None:
        self.storage = storage
        kv_heads = self._geometry.kv_heads
        self.keys = [layer[:kv_heads] for layer in storage]
        """Per layer [kv_heads, capacity, head_dim]; made once, for decoding takes views of them for every token."""
        self.values = [layer[kv_heads:] for layer in storage]

    def crop(self, length: int) -> None:
        del self.tokens[length:]

    @property
    def nbytes(self) -> int:
        return self.storage.nbytes


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens agree."""
    length = min(len(one), len(other))
    return next((i for i in range(length) if one[i] != other[i]), length)


@dataclass
class RowStore:
    """Rows that no answer is using, by conversation and adapter; the least recently used leave when memory is short."""

    budget: int
    """Bytes."""
    _rows: OrderedDict[tuple[str, str | None], Any] = field(default_factory=OrderedDict)

    def take(self, cache_key: str, adapter: str | None) -> Any | None:
        """The row of a conversation, which is the caller's until it is put back."""
        return self._rows.pop((cache_key, adapter), None)

    def put(self, cache_key: str, adapter: str | None, row: Row) -> None:
        """Keep a row for the next turn. Without a key it is forgotten."""
        if not cache_key:
            return
        self._rows[cache_key, adapter] = row
        while len(self._rows) > 1 and self.nbytes > self.budget:
            self._rows.popitem(last=False)

    def forget_adapter(self, adapter: str) -> None:
        for key in [key for key in self._rows if key[1] == adapter]:
            del self._rows[key]

    def clear(self) -> None:
        self._rows.clear()

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)
