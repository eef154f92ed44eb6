"""Arithmetic of a decoder layer with gradients written by hand: fewer passes over memory, fewer tensors kept.

Autograd takes a decoder apart into hundreds of small operations, each a pass over a large tensor and most of them
keeping one. What is here computes the same numbers; the tests hold each function to autograd's gradients.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Literal["silu", "gelu", "gelu_tanh"]


def linear_with_lora(
    x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scaling: float
) -> Tensor:
    """x·Wᵀ + b + scaling · (x·Aᵀ)·Bᵀ, with gradients of x, A and B; W and b are frozen.

    The factors' part is made first and the large product is added to it, which rounds once. The other way round, in
    bfloat16, whatever is smaller than half a step of the rounded large product would be lost: young factors do nothing.

    Args:
        x: [..., inputs]
        weight: [outputs, inputs]
        bias: [outputs]
        down: A, [rank, inputs]
        up: B, [outputs, rank]
        scaling: alpha / rank, or whatever the adapter says.
    """
    output: Tensor = _LinearWithLora.apply(x, weight, bias, down, up, scaling)  # type: ignore[no-untyped-call]
    return output


class _LinearWithLora(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scaling: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ down.to(x.dtype).t()
        output = (low @ (up * scaling).to(x.dtype).t()).addmm_(rows, weight.t())
        if bias is not None:
            output.add_(bias)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.scaling, ctx.shape = scaling, x.shape
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        rows, weight, down, up, low = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_up = (gradient.t() @ low).to(up.dtype).mul_(ctx.scaling)
        of_low = (gradient @ up.to(gradient.dtype)).mul_(ctx.scaling)
        of_down = (of_low.t() @ rows).to(down.dtype)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_low @ down.to(gradient.dtype)).addmm_(gradient, weight).view(ctx.shape)
        return of_x, None, None, of_down, of_up, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, *, offset: float, round_first: bool) -> Tensor:
    """x / √(mean x² + ε) · (weight + offset), computed in float32, over the last dimension.

    Args:
        x: [..., size]
        weight: [size]
        epsilon: ε
        offset: 1 for Gemma, whose weights are told from 1; else 0.
        round_first: whether the quotient is rounded to x's dtype before the product (Llama), or the product (Gemma).
    """
    output: Tensor = _RmsNorm.apply(x, weight, epsilon, offset, round_first)  # type: ignore[no-untyped-call]
    return output


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, offset: float, round_first: bool) -> Tensor:
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)  # one pass; square and mean would be two
        inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        factor = weight.to(wide.dtype) + offset if offset else weight
        ctx.save_for_backward(x, weight, inverse)
        ctx.offset = offset
        output: Tensor = wide * inverse
        if round_first and x.dtype != wide.dtype:
            return output.to(x.dtype) * factor
        return output.mul_(factor).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        x, weight, inverse = ctx.saved_tensors
        wide = x.to(inverse.dtype)
        gradient = gradient.to(inverse.dtype)
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (gradient * wide * inverse).flatten(0, -2).sum(0).to(weight.dtype)
        of_x = gradient * (weight.to(inverse.dtype) + ctx.offset)
        share = (of_x * wide).sum(-1, keepdim=True).mul_(inverse.pow(3)).div_(x.shape[-1])
        return of_x.mul_(inverse).addcmul_(wide, share, value=-1).to(x.dtype), of_weight, None, None, None


def gated(gate: Tensor, up: Tensor, activation: Activation) -> Tensor:
    """activation(gate) · up, [..., size] each: the middle of a SwiGLU or GeGLU."""
    output: Tensor = _Gated.apply(gate, up, activation)  # type: ignore[no-untyped-call]
    return output


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, activation: Activation) -> Tensor:
        active = F.silu(gate) if activation == "silu" else F.gelu(gate, approximate=_approximation(activation))
        ctx.save_for_backward(gate, up, active)
        ctx.activation = activation
        return active * up

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up, active = ctx.saved_tensors
        of_active = gradient * up
        if ctx.activation == "silu":
            of_gate = torch.ops.aten.silu_backward(of_active, gate)
        else:
            of_gate = torch.ops.aten.gelu_backward(of_active, gate, approximate=_approximation(ctx.activation))
        return of_gate, gradient * active, None


def _approximation(activation: Activation) -> str:
    return "tanh" if activation == "gelu_tanh" else "none"


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding: [..., tokens, heads, size] by angles of [..., tokens, size], the same in both halves."""
    output: Tensor = _Rotated.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return output


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        cos, sin = cos[..., None, :half], sin[..., None, :half]
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, sin, -1), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    """Rotate the pairs (x[i], x[i + half]); a negative sign turns back."""
    output = torch.empty_like(x, memory_format=torch.contiguous_format)
    (a, b), (c, d) = x.chunk(2, -1), output.chunk(2, -1)
    torch.mul(a, cos, out=c).addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=d).addcmul_(a, sin, value=sign)
    return output
