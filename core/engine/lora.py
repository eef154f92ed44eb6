"""LoRA as the fast forward adds it: deltas beside the fused weights, per row, merged nowhere.

An adapted linear layer gives W·x + s·B·A·x. Several of them that share their input (query, key and value; gate and
up) share one product with A. DoRA (arXiv:2402.09353) scales the sum by m / ‖W + s·B·A‖ per output, a constant that is
computed once at loading. An adapter that was trained over others brings theirs along: all of them lie beside the same
weights, and a DoRA on top measures W with those below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.fused_layer import FusedLayer


@dataclass(frozen=True)
class LoraFactors:
    """The factors of one linear layer as its file has them, with the scale s."""

    a: Tensor
    """[rank, inputs]"""
    b: Tensor
    """[outputs, rank]"""
    scale: float
    magnitude: Tensor | None = None
    """DoRA's m [outputs]"""


@dataclass(frozen=True)
class _Part:
    outputs: slice
    ranks: slice
    b: Tensor
    """Transposed and scaled: [rank, outputs]"""


class LoraDelta:
    """What an adapter adds to one fused weight."""

    def __init__(self, weight: Tensor, bias: Tensor | None, parts: list[tuple[slice, LoraFactors]]) -> None:
        self._a = torch.cat([factors.a.to(weight) for _, factors in parts]).t()
        self._parts = []
        at = 0
        for outputs, factors in parts:
            ranks = slice(at, at + len(factors.a))
            self._parts.append(_Part(outputs, ranks, (factors.b.to(weight) * factors.scale).t().contiguous()))
            at = ranks.stop
        self._factor, self._shift = _dora(weight, bias, parts)

    def add_to(self, output: Tensor, inputs: Tensor) -> None:
        """Add the delta in place: inputs [n, inputs], output [n, outputs] of the base layer with its bias."""
        reduced = inputs @ self._a
        for part in self._parts:
            output[:, part.outputs] += reduced[:, part.ranks] @ part.b
        if self._factor is not None:
            output.mul_(self._factor)
            if self._shift is not None:
                output.add_(self._shift)


def _dora(
    weight: Tensor, bias: Tensor | None, parts: list[tuple[slice, LoraFactors]]
) -> tuple[Tensor | None, Tensor | None]:
    """The factor per output, and what keeps the bias out of it."""
    if all(factors.magnitude is None for _, factors in parts):
        return None, None
    factor = torch.ones(len(weight), dtype=weight.dtype, device=weight.device)
    for outputs, factors in parts:
        if factors.magnitude is not None:
            changed = weight[outputs].float()
            for one in (beside for place, beside in parts if place == outputs):
                changed = changed + one.scale * (one.b.to(changed) @ one.a.to(changed))
            norm = torch.linalg.norm(changed, dim=1)
            factor[outputs] = (factors.magnitude.to(norm) / norm).to(factor)
    return factor, None if bias is None else bias * (1 - factor)


FUSED_PLACES = {
    "self_attn.q_proj": ("qkv", 0),
    "self_attn.k_proj": ("qkv", 1),
    "self_attn.v_proj": ("qkv", 2),
    "self_attn.o_proj": ("out", 0),
    "mlp.gate_proj": ("gate_up", 0),
    "mlp.up_proj": ("gate_up", 1),
    "mlp.down_proj": ("down", 0),
}
"""Where a linear layer of the model lies: in which fused weight, as which part of it."""


class LoraAdapter:
    """A whole adapter for the fast forward: per layer and fused weight, a delta or none.

    Args:
        factors: by layer and linear layer; several where adapters lie one over another.
    """

    def __init__(self, layers: list[FusedLayer], factors: Mapping[tuple[int, str], Sequence[LoraFactors]]) -> None:
        grouped: list[dict[str, list[tuple[slice, LoraFactors]]]] = [{} for _ in layers]
        for index, module in sorted(factors):
            place, part = FUSED_PLACES[module]
            rows = getattr(layers[index], place).parts[part]
            grouped[index].setdefault(place, []).extend((rows, one) for one in factors[index, module])
        self.layers: list[dict[str, LoraDelta]] = []
        for layer, places in zip(layers, grouped, strict=True):
            fused = {place: getattr(layer, place) for place in places}
            self.layers.append(
                {place: LoraDelta(fused[place].weight, fused[place].bias, parts) for place, parts in places.items()}
            )
        self.parameters = sum(
            f.a.numel() + f.b.numel() + _count(f.magnitude) for many in factors.values() for f in many
        )


def _count(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel()
