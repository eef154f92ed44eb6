"""The product with a frozen output head and what follows it, with gradients made while the logits are there.

Only the gradient of the hidden states is kept: as wide as the model, where the logits are as wide as the vocabulary.
Losses are told of each target, so that whoever weighs targets (PPO by their advantages) gets the right gradient.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

WithEntropy: TypeAlias = Literal["no", "value", "gradient"]
"""Whether entropies are computed (zeros without), and whether they have a graph of their gradient."""


def cross_entropies(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(1 − ε) · NLL + ε · the vocabulary's mean of −log p of each target, [targets].

    Args:
        hidden: [targets, size]
        weight: W, [words, size], frozen.
        targets: int64 [targets]
        smoothing: ε
    """
    loss: Tensor = _CrossEntropy.apply(hidden, weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy of hidden · Wᵀ, [targets]; its gradient is ready before the logits are gone.

    With e = exp(logits − max) and z = Σ e, the gradient of the logits is e / z − (1 − ε) · [target] − ε / words. Its
    product with W is e·W / z, less the targets' rows of W: e is never divided, and the logits are gone over four times.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        logits = _shifted(hidden, weight)
        wanted = logits.gather(1, targets[:, None])[:, 0]
        mean = logits.mean(-1) if smoothing else None
        total = logits.exp_().sum(-1)
        loss = total.log() - (1 - smoothing) * wanted
        gradient = ((logits.to(weight.dtype) @ weight) / total[:, None]).sub_(weight[targets], alpha=1 - smoothing)
        if mean is not None:
            loss -= smoothing * mean
            gradient -= weight.mean(0) * smoothing
        ctx.save_for_backward(gradient.to(hidden.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (of_hidden,) = ctx.saved_tensors
        return of_hidden * gradient.to(of_hidden.dtype)[:, None], None, None, None


def _shifted(hidden: Tensor, weight: Tensor) -> Tensor:
    """float32 (or wider) logits, less the largest of each row."""
    logits = hidden @ weight.t()
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    return logits.sub_(logits.amax(-1, keepdim=True))


def probabilities(
    hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, entropy: WithEntropy
) -> tuple[Tensor, Tensor]:
    """log p of each target at a temperature, and the entropies, [targets] each; arguments as `cross_entropies`."""
    wants_gradient = torch.is_grad_enabled() and hidden.requires_grad
    arguments = (hidden, weight, targets, temperature, entropy, wants_gradient)
    found: tuple[Tensor, Tensor] = _Probabilities.apply(*arguments)  # type: ignore[no-untyped-call]
    return found


class _Probabilities(torch.autograd.Function):
    """log p of targets among softmax(hidden · Wᵀ / T), and the entropies, [targets] each; see `_CrossEntropy`.

    With l the logits / T less their largest, e = exp(l) and z = Σ e: log p = l[target] − log z, with the gradient
    [target] − e / z of l. The mean of l under p is m = Σ e·l / z; the entropy is log z − m, with the gradient
    −e · (l − m) / z. Both are multiplied by W / T right away.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        temperature: float,
        entropy: WithEntropy,
        wants_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        logits = _shifted(hidden, weight)
        if temperature != 1:
            logits /= temperature
        wanted = logits.gather(1, targets[:, None])[:, 0]
        powers = logits.exp_() if entropy == "no" else logits.exp()
        total = powers.sum(-1)
        chosen, entropies = wanted - total.log(), torch.zeros_like(total)
        mean_state = _mean_row(powers, weight, total) if wants_gradient else None
        mean = None
        if entropy != "no":
            weighted = logits.mul_(powers)
            mean = weighted.sum(-1) / total
            entropies = total.log() - mean
        ctx.has_entropy = mean_state is not None and entropy == "gradient"
        saved = []
        if mean_state is not None:
            saved.append(((weight[targets] - mean_state) / temperature).to(hidden.dtype))
        if mean_state is not None and mean is not None and ctx.has_entropy:
            of_entropy = mean_state * mean[:, None] - _mean_row(weighted, weight, total)
            saved.append((of_entropy / temperature).to(hidden.dtype))
        ctx.save_for_backward(*saved)
        if not ctx.has_entropy:
            ctx.mark_non_differentiable(entropies)
        return chosen, entropies

    @staticmethod
    def backward(ctx: Any, of_chosen: Tensor, of_entropies: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        saved = ctx.saved_tensors
        gradient = saved[0] * of_chosen.to(saved[0].dtype)[:, None]
        if ctx.has_entropy:
            gradient.addcmul_(saved[1], of_entropies.to(saved[1].dtype)[:, None])
        return gradient, None, None, None, None, None


def _mean_row(powers: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """The head's rows weighted by `powers` / `total`, [targets, size]."""
    return (powers.to(weight.dtype) @ weight) / total[:, None]
