"""The trained weights as they were at a moment, kept beside those that go on learning.

A reference needs no second model: for the length of a computation the parameters point at the kept tensors, then at
their own again. Nothing is copied meanwhile, so the trained weights come back as they were, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn

from core.engine.tuning.tunable import Tunable


class Snapshot:
    """Frozen copies of what is trained, made when this is made."""

    def __init__(self, tunable: Tunable) -> None:
        self._parameters: dict[str, nn.Parameter] = dict(tunable.trained)
        self._kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._away: dict[str, Tensor] = {}

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The copies, by the names of `Tunable.trained`."""
        return MappingProxyType(self._kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network computes with the copies; no gradient may be asked for inside, nor a graph kept across."""
        if self._away:  # it is already
            yield
            return
        self._away = {name: parameter.data for name, parameter in self._parameters.items()}
        try:
            self._point_at(self._kept)
            yield
        finally:
            self._point_at(self._away)
            self._away = {}

    def _point_at(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.data = tensors[name]
        torch.clear_autocast_cache()  # it keeps 16-bit copies by parameter, whatever that points at meanwhile
