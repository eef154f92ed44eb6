"""DoRA (arXiv:2402.09353) in the lean arithmetic: the product of a LoRA, its outputs scaled to a trained magnitude.

PEFT lays the factors' product out as a whole matrix at every call, to know how long its rows are together with the
weight's. That length follows from three small products, and the weight's own share of it never changes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def squared_lengths(weight: Tensor) -> Tensor:
    """Of a weight's rows, [outputs], in float32 or wider."""
    lengths: Tensor = torch.linalg.vector_norm(weight, dim=1, dtype=torch.promote_types(weight.dtype, torch.float32))
    return lengths.square_()


@torch.no_grad()
def lengths_with_lora(squared: Tensor, weight: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
    """‖W + s·B·A‖ of each row, [outputs]: ‖w‖² + 2s · (W·Aᵀ)·b + s² · b·(A·Aᵀ)·b under the root.

    Args:
        squared: `squared_lengths(weight)`.
        weight: [outputs, inputs]
        down: A, [rank, inputs]
        up: B, [outputs, rank]
        scaling: s
    """
    with torch.autocast(weight.device.type, enabled=False):
        both = (weight @ down.to(weight.dtype).t()).to(squared.dtype)
        down, up = down.to(squared.dtype), up.to(squared.dtype)
        grown = torch.addmm(both, up, down @ down.t(), beta=2 * scaling, alpha=scaling**2)
        return (grown * up).sum(1).add_(squared).clamp_(min=0).sqrt_()


def linear_with_dora(
    x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: Tensor, scaling: float
) -> Tensor:
    """(x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ) · scale + b, with gradients of x, A, B and the scale; W and b are frozen.

    Args:
        x: [..., inputs]
        weight: [outputs, inputs]
        bias: [outputs]
        down: A, [rank, inputs]
        up: B, [outputs, rank]
        scale: [outputs], the magnitude over the length that counts as a constant.
        scaling: alpha / rank, or whatever the adapter says.
    """
    output: Tensor = _LinearWithDora.apply(x, weight, bias, down, up, scale, scaling)  # type: ignore[no-untyped-call]
    return output


class _LinearWithDora(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: Tensor,
        scaling: float,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ down.to(x.dtype).t()
        product = (low @ (up * scaling).to(x.dtype).t()).addmm_(rows, weight.t())  # see `linear_with_lora`
        ctx.save_for_backward(rows, weight, down, up, low, scale, product)
        ctx.scaling, ctx.shape = scaling, x.shape
        factor = scale.to(x.dtype)
        output = product * factor if bias is None else torch.addcmul(bias, product, factor)
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, Tensor, None]:
        rows, weight, down, up, low, scale, product = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_scale = (gradient * product).sum(0, dtype=scale.dtype)
        gradient = gradient * scale.to(gradient.dtype)
        of_up = (gradient.t() @ low).to(up.dtype).mul_(ctx.scaling)
        of_low = (gradient @ up.to(gradient.dtype)).mul_(ctx.scaling)
        of_down = (of_low.t() @ rows).to(down.dtype)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_low @ down.to(gradient.dtype)).addmm_(gradient, weight).view(ctx.shape)
        return of_x, None, None, of_down, of_up, of_scale, None
