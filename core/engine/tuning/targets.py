"""Which linear layers get LoRA's factors, from what people type; see `purposes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.engine.tuning.anatomy import adaptable_layers, linear_layers
from core.engine.tuning.purposes import resolve_names


def resolve_targets(network: Any, typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """The ends of names that PEFT is given, and what should be said about them.

    Raises:
        ModelError: a name fits no layer; the error lists those that there are.
    """
    return resolve_names(list(linear_layers(network)), typed, adaptable_layers(network))
