"""Attention as the fast forward asks for it: some tokens of a step, and what they see.

All else in a layer looks at each token by itself, so tokens of any number of rows lie behind one another there. Who
attends to what is the matter of a part: the next tokens of one row (`Span`), or one token of each row of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from core.engine.cache import KeyValueRow


class Part(Protocol):
    """Tokens of a step whose attention is computed together."""

    @property
    def rows(self) -> slice:
        """Their places among the tokens of the step."""

    def attend(self, query: Tensor, key_value: Tensor, index: int, window: int | None) -> Tensor:
        """Store keys and values in a layer's cache and attend.

        Args:
            query: [tokens, heads, head_dim].
            key_value: [2 · kv_heads, tokens, head_dim], keys first.
            index: the layer.

        Returns:
            [tokens, heads · head_dim].
        """


@dataclass(frozen=True, slots=True)
class Span:
    """The next tokens of one row."""

    rows: slice
    row: KeyValueRow
    start: int
    """How many tokens the row holds already."""
    end: int
    masks: dict[int | None, tuple[int, Tensor | None]]
    """By window: see `mask`."""
    scale: float

    def attend(self, query: Tensor, key_value: Tensor, index: int, window: int | None) -> Tensor:
        """See `Part.attend`."""
        stored = self.row.storage[index]
        stored[:, self.start : self.end] = key_value
        first, mask = self.masks[window]
        kv_heads = len(stored) // 2
        keys, values = stored[None, :kv_heads, first : self.end], stored[None, kv_heads:, first : self.end]
        if len(query) == 1:  # the query heads of one key head stand where its tokens would
            query = query.view(1, kv_heads, -1, query.shape[-1])
            return F.scaled_dot_product_attention(query, keys, values, scale=self.scale).reshape(1, -1)
        seen = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None],
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=self.scale,
            enable_gqa=True,
        )
        return seen[0].transpose(0, 1).reshape(len(query), -1)


def mask(start: int, end: int, window: int | None, device: torch.device) -> tuple[int, Tensor | None]:
    """Who sees whom: the first position that any of the tokens start … end − 1 sees, and a mask from there on.

    None stands for causal over the whole span (or, for a single token, for everything).
    """
    first = 0 if window is None else max(0, start + 1 - window)
    if end - start == 1 or (start == 0 and (window is None or end <= window)):
        return first, None
    query = torch.arange(start, end, device=device)[:, None]
    key = torch.arange(first, end, device=device)[None]
    mask = key <= query
    return first, mask if window is None else mask & (key > query - window)
