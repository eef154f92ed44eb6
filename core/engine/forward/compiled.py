"""Decoder layers, compiled one by one: what surrounds attention becomes a few kernels, the same for every layer.

Attention itself is left out: its rows change their number and lengths with every batch. So are evaluations and answers
to probes, which would each be compiled anew.
"""

from __future__ import annotations

import shutil
from typing import Any

import torch

_MOST_VARIANTS = 64
"""Of a layer's code: kinds of layers, shapes, training. Dynamo's own 8 are fewer than some models have kinds."""


def has_compiler(device: torch.device) -> bool:
    """Whether kernels can be made here; those for a CPU need a C++ compiler."""
    return device.type != "cpu" or any(shutil.which(name) for name in ("c++", "g++", "clang++"))


class CompiledLayers:
    """The layers of a model, compiled at their first use; `restore` takes it back."""

    def __init__(self, model: Any) -> None:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_VARIANTS)
        self._layers = list(model.get_decoder().layers)
        self._attention_forwards = [vars(layer.self_attn).get("forward") for layer in self._layers]
        for layer in self._layers:
            untraced: Any = torch.compiler.disable(layer.self_attn.forward)  # type: ignore[no-untyped-call]
            layer.self_attn.forward = untraced
            layer.compile(dynamic=True)
        self._calls = [layer._compiled_call_impl for layer in self._layers]

    def use(self, wanted: bool) -> None:
        """Take the compiled layers, or the plain ones for a while."""
        for layer, call in zip(self._layers, self._calls, strict=True):
            layer._compiled_call_impl = call if wanted else None

    def restore(self) -> None:
        self.use(False)
        for layer, forward in zip(self._layers, self._attention_forwards, strict=True):
            del layer.self_attn.forward
            if forward is not None:
                layer.self_attn.forward = forward
