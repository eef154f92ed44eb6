"""A model with what is trained of it: the one thing that methods make and the loop moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from core.models.notes import AdapterNotes


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float
    weight_decay: float


class Tunable(Protocol):
    """A causal language model, prepared by a method (`full`, `freeze`, `lora`, `p_tuning`)."""

    network: Any
    """transformers' model, adapters injected; what is not trained has requires_grad False."""
    method: str
    notes: AdapterNotes
    """What will stand beside the weights."""
    trained: Mapping[str, nn.Parameter]
    """What is trained, by stable names, in a stable order."""
    parameters: int
    """Of the whole model, the trained ones included."""
    warnings: tuple[str, ...]
    exact_sharing: bool
    """Whether rows that share leading tokens may share their computation (no dropout on hidden states, no noise)."""
    pads: bool
    """Whether rows have to stand padded below one another (a trained prefix), instead of end to end."""

    def groups(self) -> list[ParameterGroup]:
        """The optimiser's groups, LoRA+ ratios and the exemption from weight decay applied."""

    def save(self, folder: Path) -> None:
        """Write what chat and evaluation load: an adapter with its facts, or a whole model. The folder exists."""

    def write_card(self, folder: Path, results: Mapping[str, float] | None = None) -> None:
        """Write the folder's README.md again, with the run's numbers by name."""

    def state(self) -> Mapping[str, Tensor]:
        """What has to be stored so that the training can go on bit by bit; `restore` takes it back."""

    def restore(self, state: Mapping[str, Tensor]) -> None: ...
