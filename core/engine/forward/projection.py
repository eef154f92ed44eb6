"""From hidden states to the loss: the vocabulary's logits at target positions only, a slice of them at a time.

The logits of a whole batch are the largest tensor of a training by far (262,144 words × 1,000 targets = 1 GB in
float32, several times over). A slice's gradient is made at once, while its logits are there, and only that of the
hidden states is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_SLICE_BYTES = 128 << 20
"""Of the float32 logits that are there at once."""
_FEWEST_ROWS = 64
"""Fewer rows at a time would slow the product down."""


@dataclass(frozen=True)
class Loss:
    """Of a batch, with the graph of its gradient."""

    total: Tensor
    """float32 scalar: summed over the targets."""
    correct: int
    """Targets that are also the likeliest token; 0 unless they were asked to be counted."""


@dataclass(frozen=True)
class Projection:
    """The output head with what follows it."""

    head: nn.Module
    scale: float | None = None
    """Logits are multiplied by it (Cohere, Granite)."""
    softcap: float | None = None
    """Logits stay within ± this (Gemma 2)."""
    label_smoothing: float = 0.0
    """ε: the loss is (1 − ε) · NLL + ε · the vocabulary's mean of −log p, as transformers' LabelSmoother has it."""
    slice_bytes: int = _SLICE_BYTES

    def loss(self, hidden: Tensor, targets: Tensor, *, count_correct: bool) -> Loss:
        """Cross entropy of `targets`, int64 [targets], predicted from `hidden` [targets, size]."""
        total, correct = torch.zeros((), device=hidden.device), 0
        rows = max(_FEWEST_ROWS, self.slice_bytes // (4 * _words(self.head)))
        parts = list(zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True))
        for part, wanted in parts:
            if count_correct:
                logits = self.logits(part)
                correct += int((logits.argmax(-1) == wanted).sum())
                total = total + self._entropy(logits, wanted)
            elif torch.is_grad_enabled() and self._is_plain(part):
                total = total + _cross_entropy(part, self.weight, wanted, self.label_smoothing)
            elif torch.is_grad_enabled() and len(parts) > 1:
                total = total + checkpoint(self._loss, part, wanted, use_reentrant=False)
            else:
                total = total + self._loss(part, wanted)
        return Loss(total, correct)

    @property
    def weight(self) -> Tensor:
        """[words, size]"""
        weight: Tensor = self.head.get_parameter("weight")
        return weight

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 (or wider) [targets, words]"""
        logits: Tensor = self.head(hidden)
        logits = logits if self.scale is None else logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits.float() if logits.dtype.itemsize < 4 else logits

    def _is_plain(self, hidden: Tensor) -> bool:
        """A frozen product with nothing behind it, whose gradient is made along with the loss."""
        head = self.head
        return (
            type(head) is nn.Linear
            and head.bias is None
            and not self.weight.requires_grad
            and self.scale is None
            and self.softcap is None
            and self.weight.dtype == hidden.dtype
            and not torch.is_autocast_enabled(hidden.device.type)
        )

    def _loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self._entropy(self.logits(hidden), targets)

    def _entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.label_smoothing)


def projection_of(model: Any, label_smoothing: float) -> Projection:
    """The output head of a transformers model, as its own forward uses it."""
    config = model.config.get_text_config()
    divisor = getattr(config, "logits_scaling", None)
    scale = 1 / divisor if divisor else getattr(config, "logit_scale", None)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Projection(model.get_output_embeddings(), scale, softcap, label_smoothing)


def _words(head: nn.Module) -> int:
    return int(getattr(head, "out_features", 1 << 16))


def _cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    loss: Tensor = _CrossEntropy.apply(hidden, weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Summed cross entropy of hidden · Wᵀ; its gradient is ready before the logits are gone.

    With e = exp(logits − max) and z = Σ e, the gradient of the logits is e / z − (1 − ε) · [target] − ε / words. Its
    product with W is e·W / z, less the targets' rows of W: e is never divided, and the logits are gone over four times.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        logits = hidden @ weight.t()
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        logits -= logits.amax(-1, keepdim=True)
        wanted = logits.gather(1, targets[:, None])[:, 0]
        mean = logits.mean(-1) if smoothing else None
        total = logits.exp_().sum(-1)
        loss = total.log() - (1 - smoothing) * wanted
        gradient = ((logits.to(weight.dtype) @ weight) / total[:, None]).sub_(weight[targets], alpha=1 - smoothing)
        if mean is not None:
            loss -= smoothing * mean
            gradient -= weight.mean(0) * smoothing
        ctx.save_for_backward(gradient.to(hidden.dtype))
        return loss.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (of_hidden,) = ctx.saved_tensors
        return of_hidden * gradient.to(of_hidden.dtype), None, None, None
