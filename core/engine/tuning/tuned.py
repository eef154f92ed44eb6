"""What all methods share: parameters by name, the optimiser's groups, the exact state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import ALL_LAYERNORM_LAYERS

from core.config.finetuning import FinetuningOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.card import write_card
from core.engine.tuning.tunable import ParameterGroup
from core.errors import ModelError
from core.i18n import _
from core.models.notes import AdapterNotes, write_notes


@dataclass
class Tuned:
    """A network and what a method trains of it; `save` is the method's own. See `Tunable`."""

    base: TrainingBase
    options: FinetuningOptions
    optimization: OptimizationOptions
    notes: AdapterNotes
    network: Any
    method: str
    trained: Mapping[str, nn.Parameter]
    warnings: tuple[str, ...] = ()
    exact_sharing: bool = True
    pads: bool = False
    parameters: int = field(init=False)

    def __post_init__(self) -> None:
        self.notes = replace(self.notes, stage=self.options.stage)
        inside = {id(parameter): size_of(parameter) for parameter in self.network.parameters()}
        beside = {id(parameter): size_of(parameter) for parameter in self.trained.values()}
        self.parameters = sum((inside | beside).values())

    def groups(self) -> list[ParameterGroup]:
        """One learning rate, and no weight decay for biases and norms; as transformers' Trainer has it."""
        free = undecayed(self.network)
        decayed = [one for one in self.trained.values() if id(one) not in free and one.ndim > 1]
        chosen = {id(one) for one in decayed}
        others = [one for one in self.trained.values() if id(one) not in chosen]
        rate, decay = self.optimization.learning_rate, self.optimization.weight_decay
        return list(nonempty(ParameterGroup(tuple(decayed), rate, decay), ParameterGroup(tuple(others), rate, 0.0)))

    def save(self, folder: Path) -> None:
        """Weights, notes and card. What the method writes besides is its own."""
        self._save_weights(folder)
        write_notes(folder, self.notes)
        self.write_card(folder)

    def write_card(self, folder: Path, results: Mapping[str, float] | None = None) -> None:
        """Write README.md again, with the run's numbers."""
        count = sum(size_of(parameter) for parameter in self.trained.values())
        trained = f"{count:,} of {self.parameters:,} ({count / self.parameters:.2%})"
        write_card(folder, self.notes, {**self._facts(), "trained parameters": trained}, results)

    def _save_weights(self, folder: Path) -> None:
        raise NotImplementedError

    def _facts(self) -> dict[str, object]:
        """The method's numbers, for the card."""
        return {}

    def state(self) -> Mapping[str, Tensor]:
        """Copies on the CPU; the format is the one that is trained."""
        return {name: parameter.detach().to("cpu", copy=True) for name, parameter in self.trained.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            ModelError: it belongs to another training.
        """
        differing = sorted(state.keys() ^ self.trained.keys())
        if differing:
            raise ModelError(
                _("the stored state is of another training: {name} is not in both").format(name=differing[0]),
                _("resume with the same method, targets and rank"),
            )
        with torch.no_grad():
            for name, parameter in self.trained.items():
                _check_shape(name, parameter, state[name])
                parameter.copy_(state[name])


def _check_shape(name: str, here: Tensor, there: Tensor) -> None:
    if here.shape != there.shape:
        told = _("the stored state is of another training: {name} is {here} here and {there} there")
        shapes = {"here": "×".join(map(str, here.shape)), "there": "×".join(map(str, there.shape))}
        raise ModelError(told.format(name=name, **shapes), _("resume with the same method, targets and rank"))


def size_of(parameter: nn.Parameter) -> int:
    """How many numbers a parameter stands for; 4-bit weights lie packed, two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def undecayed(network: nn.Module) -> set[int]:
    """The ids of parameters that weight decay leaves alone: those of norms, and biases."""
    norms = tuple(ALL_LAYERNORM_LAYERS)
    found = set()
    for name, module in network.named_modules():
        is_norm = isinstance(module, norms) or "norm" in type(module).__name__.lower() or "norm" in name.split(".")[-1]
        for key, parameter in module.named_parameters(recurse=False):
            if is_norm or "bias" in key:
                found.add(id(parameter))
    return found


def nonempty(*groups: ParameterGroup) -> Iterable[ParameterGroup]:
    return (group for group in groups if group.parameters)


def trained_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """What requires a gradient, by name; tied weights once."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def to_masters(parameters: Iterable[nn.Parameter], optimization: OptimizationOptions) -> None:
    """Hold what is trained in float32, so that steps below the base's precision are not lost."""
    if optimization.pure_bf16:
        return
    for parameter in parameters:
        parameter.data = parameter.data.float()
