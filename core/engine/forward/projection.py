"""From hidden states to losses and probabilities: the vocabulary's logits at targets only, a slice of them at a time.

The logits of a whole batch are the largest tensor of a training by far (262,144 words × 1,000 targets = 1 GB in
float32, several times over). A slice's gradient is made at once, while its logits are there, and only that of the
hidden states is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.engine.forward.head import WithEntropy, cross_entropies, probabilities

_SLICE_BYTES = 128 << 20
"""Of the float32 logits that are there at once."""
_FEWEST_ROWS = 64
"""Fewer rows at a time would slow the product down."""

T = TypeVar("T")


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
        parts = self._slices(hidden, targets)
        for part, wanted in parts:
            if count_correct:
                logits = self.logits(part)
                correct += int((logits.argmax(-1) == wanted).sum())
                total = total + self._entropy(logits, wanted)
            elif torch.is_grad_enabled() and self._is_plain(part):
                total = total + cross_entropies(part, self.weight, wanted, self.label_smoothing).sum()
            else:
                total = total + _with_room(len(parts) > 1, self._loss, part, wanted)
        return Loss(total, correct)

    def log_probabilities(self, hidden: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
        """float32 (or wider) [targets]: log p of each of `targets`, int64 [targets], from `hidden` [targets, size].

        Args:
            temperature: logits are divided by it.
        """
        return self.log_probabilities_and_entropy(hidden, targets, temperature, entropy="no")[0]

    def log_probabilities_and_entropy(
        self, hidden: Tensor, targets: Tensor, temperature: float = 1.0, *, entropy: WithEntropy = "gradient"
    ) -> tuple[Tensor, Tensor]:
        """The same, and the entropy of what each target was chosen from, in nats [targets].

        A pass with a graph and one without give the same numbers, to the last bit.

        Args:
            entropy: its gradient costs another product with the head.
        """
        parts = self._slices(hidden, targets)
        found = []
        for part, wanted in parts:
            if self._is_plain(part):
                found.append(probabilities(part, self.weight, wanted, temperature, entropy))
            else:
                found.append(_with_room(len(parts) > 1, self._probabilities, part, wanted, temperature, entropy))
        chosen, open_to = (torch.cat(values) for values in zip(*found, strict=True))
        return chosen, open_to

    def _slices(self, hidden: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        rows = max(_FEWEST_ROWS, self.slice_bytes // (4 * _words(self.head)))
        return list(zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True))

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

    def _probabilities(
        self, hidden: Tensor, targets: Tensor, temperature: float, entropy: WithEntropy
    ) -> tuple[Tensor, Tensor]:
        logs = torch.log_softmax(self.logits(hidden) / temperature, -1)
        chosen = logs.gather(1, targets[:, None])[:, 0]
        if entropy == "no":
            return chosen, torch.zeros_like(chosen)
        with torch.set_grad_enabled(torch.is_grad_enabled() and entropy == "gradient"):
            return chosen, -(logs.exp() * logs).sum(-1)


def projection_of(model: Any, label_smoothing: float) -> Projection:
    """The output head of a transformers model, as its own forward uses it."""
    config = model.config.get_text_config()
    divisor = getattr(config, "logits_scaling", None)
    scale = 1 / divisor if divisor else getattr(config, "logit_scale", None)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Projection(model.get_output_embeddings(), scale, softcap, label_smoothing)


def _words(head: nn.Module) -> int:
    return int(getattr(head, "out_features", 1 << 16))


def _with_room(wanted: bool, compute: Callable[..., T], *arguments: object) -> T:
    """Compute now and, where room is wanted, once more for the gradient instead of keeping what it needs."""
    if not wanted or not torch.is_grad_enabled():
        return compute(*arguments)
    computed: T = checkpoint(compute, *arguments, use_reentrant=False)
    return computed
