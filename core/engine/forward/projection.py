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
"""Of the float32 logits that are there at once. Fewer than some 64 rows at a time would slow the product down."""
_FEWEST_ROWS = 64


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
    scale: float | None
    """Logits are multiplied by it (Cohere, Granite)."""
    softcap: float | None
    """Logits stay within ± this (Gemma)."""
    label_smoothing: float

    def loss(self, hidden: Tensor, targets: Tensor, *, count_correct: bool) -> Loss:
        """Cross entropy of `targets`, int64 [targets], predicted from `hidden` [targets, size].

        With label smoothing ε it is (1 − ε) · NLL + ε · the mean over the vocabulary of −log p, as
        transformers' LabelSmoother has it.
        """
        rows = max(_FEWEST_ROWS, _SLICE_BYTES // (4 * self._words))
        total, correct = torch.zeros((), device=hidden.device), 0
        for part, wanted in zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True):
            loss, right = self._slice(part, wanted, count_correct)
            total, correct = total + loss, correct + right
        return Loss(total, correct)

    @property
    def _words(self) -> int:
        return int(getattr(self.head, "out_features", 1 << 16))

    def _slice(self, hidden: Tensor, targets: Tensor, count_correct: bool) -> tuple[Tensor, int]:
        if torch.is_grad_enabled() and not count_correct:
            loss: Tensor = checkpoint(self._cross_entropy, hidden, targets, use_reentrant=False)
            return loss, 0
        logits = self.logits(hidden)
        right = int((logits.argmax(-1) == targets).sum()) if count_correct else 0
        return self._entropy(logits, targets), right

    def _cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self._entropy(self.logits(hidden), targets)

    def _entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.label_smoothing)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [targets, words]"""
        logits: Tensor = self.head(hidden)
        logits = logits if self.scale is None else logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits.float()


def projection_of(model: Any, label_smoothing: float) -> Projection:
    """The output head of a transformers model, as its own forward uses it."""
    config = model.config.get_text_config()
    divisor = getattr(config, "logits_scaling", None)
    scale = 1 / divisor if divisor else getattr(config, "logit_scale", None)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Projection(model.get_output_embeddings(), scale, softcap, label_smoothing)
