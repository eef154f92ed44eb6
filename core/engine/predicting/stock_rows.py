"""Rows of transformers' own forward: a batch padded on the left, as long as one of its rows is unfinished.

For models and adapters that the fast forward does not serve. Finished rows leave the batch; others can take places only
when all have left, for the cache is one tensor. Where padding is not exact there is one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from core.engine.predicting.writing import Writing
from core.engine.stock import StockModel


class StockRows:
    """See `core.engine.predicting.rows.Rows`."""

    def __init__(self, model: StockModel, adapter: str | None, places: int, step_tokens: int) -> None:
        self._model, self._adapter = model, adapter
        self.places, self._step_tokens = places, step_tokens
        self._writings: list[Writing] = []
        self._cache: Any = None
        """None: nothing has been read."""
        self._ids = self._seen = torch.empty(0, 0)
        """What was known when the batch began, padded, and which of it is no padding; `_seen` grows by every token."""
        self._read = 0

    @property
    def writings(self) -> Sequence[Writing]:
        return list(self._writings)

    @property
    def has_place(self) -> bool:
        return self._cache is None and len(self._writings) < self.places

    def join(self, writing: Writing) -> None:
        self._writings.append(writing)

    def step(self) -> tuple[list[Writing], Tensor]:
        """See `Rows.step`."""
        if self._cache is None:
            self._begin()
        width = self._ids.shape[1]
        if self._read < width:
            end = min(self._read + max(1, self._step_tokens // len(self._ids)), width)
            ids, seen = self._ids[:, self._read : end], self._seen[:, :end]
        else:
            end = self._read + 1
            ids = torch.tensor([[writing.ids[-1]] for writing in self._writings], device=self._ids.device)
            self._seen = seen = torch.cat((self._seen[:, : self._read], torch.ones_like(ids)), 1)
        logits = self._model.read_padded(ids, seen, self._cache, self._adapter)
        self._read = end
        return (list(self._writings) if end >= width else []), logits

    def _begin(self) -> None:
        unread = [writing.unread for writing in self._writings]
        width, device = max(map(len, unread)), self._model.geometry.device
        self._ids = torch.tensor([[0] * (width - len(ids)) + ids for ids in unread], device=device)
        self._seen = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in unread], device=device)
        self._cache, self._read = self._model.new_row().cache, 0

    def leave(self, writing: Writing) -> None:
        place = self._writings.index(writing)
        self._writings.pop(place)
        if not self._writings:
            self._cache = None
        elif self._cache is not None:
            others = torch.tensor([n for n in range(len(self._ids)) if n != place], device=self._ids.device)
            self._cache.batch_select_indices(others)
            self._ids, self._seen = self._ids[others], self._seen[others]

    def resize(self, places: int) -> list[Writing]:
        """See `Rows.resize`. Who stays begins anew: in the middle of a step the cache may be half written."""
        self.places, self._cache = places, None
        gone, self._writings = self._writings[places:], self._writings[:places]
        return gone
