"""What a network is made of, found by looking: its decoder layers, its linear layers, its output head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from core.engine.tuning.purposes import ends_with
from core.errors import ModelError
from core.i18n import _


def decoder_layers(network: Any) -> tuple[str, list[nn.Module]]:
    """The name of the list of layers, and the layers.

    Raises:
        ModelError: no list of modules is as long as the configuration says.
    """
    count = network.config.get_text_config().num_hidden_layers
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, list(module)
    raise ModelError(
        _("{name} has no list of {count} layers").format(name=type(network).__name__, count=count),
        _("train it by lora or full"),
    )


def linear_layers(network: Any) -> dict[str, nn.Module]:
    """Every linear layer but the output head, by its whole name; quantised ones too."""
    head = network.get_output_embeddings()
    return {
        name: module
        for name, module in network.named_modules()
        if module is not head and _is_linear(module) and getattr(module, "weight", None) is not None
    }


def adaptable_layers(network: Any) -> list[str]:
    """The names of all layers that may be named as targets: linear ones, the output head and embeddings too."""
    return [name for name, module in network.named_modules() if _is_linear(module) or isinstance(module, nn.Embedding)]


def is_tied(network: Any) -> bool:
    """Whether the output head is the embedding."""
    head, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    return head is not None and embedding is not None and head.weight is embedding.weight


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, Conv1D)) or type(module).__name__ in ("Linear4bit", "Linear8bitLt")


def named_like(network: nn.Module, end: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules by the end of their names."""
    return ((name, module) for name, module in network.named_modules() if name and ends_with(name, end))
