"""Cosines and sines of rotary embeddings, as tables made by the model's own module.

Computing them anew for every token costs more than a layer's attention. Where the angles of a position never change
(all kinds but `dynamic` and `longrope`, which depend on the length of the text) a table per kind of layer is exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_FIXED = {"default", "linear", "llama3", "yarn"}
_SMALLEST = 512


def has_fixed_angles(config: Any) -> bool:
    """Whether the angle of a position depends on nothing but the position, over whole heads."""
    rope = config.rope_parameters
    kinds = list(rope.values()) if _per_layer_type(rope) else [rope]
    return all(
        kind is not None and kind.get("rope_type") in _FIXED and kind.get("partial_rotary_factor", 1.0) == 1.0
        for kind in kinds
    )


def _per_layer_type(rope: dict[str, Any]) -> bool:
    return "rope_type" not in rope


class RotaryTables:
    """Tables that grow with the longest row."""

    def __init__(self, module: Any, config: Any, dtype: torch.dtype) -> None:
        self._module, self._dtype = module, dtype
        self._kinds = list(config.rope_parameters) if _per_layer_type(config.rope_parameters) else [""]
        self._length = 0
        self._tables: dict[str, tuple[Tensor, Tensor]] = {}

    def at(self, positions: Tensor, longest: int) -> dict[str, tuple[Tensor, Tensor]]:
        """For each kind of layer cosines and signed sines [tokens, 1, head_dim] of positions below `longest`."""
        if longest > self._length:
            self._grow(max(longest, 2 * self._length, _SMALLEST), positions.device)
        return {kind: (cos[positions], sin[positions]) for kind, (cos, sin) in self._tables.items()}

    def of(self, position: int) -> dict[str, tuple[Tensor, Tensor]]:
        """The same for one position, [1, head_dim], without a copy. Tables on the CPU only."""
        if position >= self._length:
            self._grow(max(position + 1, 2 * self._length, _SMALLEST), torch.device("cpu"))
        return {kind: (cos[position], sin[position]) for kind, (cos, sin) in self._tables.items()}

    def _grow(self, length: int, device: torch.device) -> None:
        positions = torch.arange(length, device=device)[None]
        sample = torch.empty(0, dtype=self._dtype, device=device)
        for kind in self._kinds:
            cos, sin = self._module(sample, positions, *([kind] if kind else []))
            half = sin.shape[-1] // 2
            signed = torch.cat((-sin[0, :, :half], sin[0, :, half:]), -1)
            self._tables[kind] = (cos[0][:, None].contiguous(), signed[:, None].contiguous())
        self._length = length
