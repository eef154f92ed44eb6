"""A decoder layer's weights, laid out for speed without a second copy.

Query, key and value (and gate and up) lie in one storage, so that one product does for all; the model's own modules
keep views of it. Everything that works on those modules, PEFT first of all, goes on working.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Module: TypeAlias = Any
"""Modules of transformers, whose classes have no common type that names their parts."""


@dataclass(frozen=True)
class FusedLinear:
    """Linear layers that share their input, as one."""

    weight: Tensor
    """[outputs, inputs]"""
    bias: Tensor | None
    parts: tuple[slice, ...]
    """The outputs of each of the layers."""


@dataclass(frozen=True)
class FusedLayer:
    """The weights of one decoder layer."""

    qkv: FusedLinear
    out: FusedLinear
    gate_up: FusedLinear
    down: FusedLinear
    norm_before_attention: Tensor
    norm_after_attention: Tensor | None
    """Gemma's, on the attention's output; None elsewhere."""
    norm_before_mlp: Tensor
    norm_after_mlp: Tensor | None
    norm_of_heads: Tensor | None
    """Of queries and keys, [heads + kv_heads, head_dim]; None where there is none."""
    window: int | None
    """How many tokens back are seen, the token itself counted; None: all."""
    rope: str
    """Which of the model's rotary tables."""


def fuse(*linears: nn.Linear) -> FusedLinear:
    """Lay linear layers of one input in one storage, of which their weights become views."""
    first = linears[0]
    ends = [sum(one.out_features for one in linears[: i + 1]) for i in range(len(linears))]
    parts = tuple(slice(end - one.out_features, end) for end, one in zip(ends, linears, strict=True))
    if len(linears) == 1:
        return FusedLinear(first.weight.detach(), None if first.bias is None else first.bias.detach(), parts)
    weight = first.weight.detach().new_empty(ends[-1], first.in_features)
    bias = None if first.bias is None else first.bias.detach().new_empty(ends[-1])
    for part, one in zip(parts, linears, strict=True):
        weight[part] = one.weight.detach()
        one.weight = nn.Parameter(weight[part], requires_grad=False)
        if bias is not None:
            bias[part] = one.bias.detach()
            one.bias = nn.Parameter(bias[part], requires_grad=False)
    return FusedLinear(weight, bias, parts)


def norm_weight(norm: Module | None, is_offset: bool) -> Tensor | None:
    """A norm's weight as a plain factor. Gemma stores its distance from 1 and multiplies in float32."""
    if norm is None:
        return None
    weight: Tensor = norm.weight.detach()
    return 1.0 + weight.float() if is_offset else weight


def heads_norm(attention: Module, heads: int, kv_heads: int, is_offset: bool) -> Tensor | None:
    """The norms of queries and keys as one factor."""
    query = norm_weight(getattr(attention, "q_norm", None), is_offset)
    key = norm_weight(getattr(attention, "k_norm", None), is_offset)
    if query is None or key is None:
        return None
    return torch.cat((query.expand(heads, -1), key.expand(kv_heads, -1)))
