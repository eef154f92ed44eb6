"""A number for every hidden state: a linear head over a language model, trained and kept beside what a method trains.

The head is a module of its own, in float32: no pass of another model over the same base can touch it. A head of values
begins at zero, so that nothing is said before something is learnt. One of rewards begins at random: through a head of
zeros nothing of a loss reaches the model, and it learns more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.engine.tuning.base import TrainingBase
from core.engine.tuning.tunable import ParameterGroup, Tunable
from core.errors import ModelError
from core.i18n import _
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD

WEIGHT, BIAS = HEAD_WEIGHT, "v_head.summary.bias"
"""As TRL and LLaMA-Factory call them."""


class HeadedTunable:
    """A `Tunable` with a value head."""

    def __init__(self, inner: Tunable, head: nn.Linear, *, learning_rate: float | None, saves_head: bool) -> None:
        self.inner, self.head = inner, head
        self._learning_rate, self._saves_head = learning_rate, saves_head
        self.network: Any = inner.network
        self.method, self.notes, self.warnings = inner.method, inner.notes, inner.warnings
        self.exact_sharing, self.pads = inner.exact_sharing, inner.pads
        self._own = dict(zip((WEIGHT, BIAS), head.parameters(), strict=True))
        self.trained: Mapping[str, nn.Parameter] = {**inner.trained, **self._own}
        self.parameters = inner.parameters + sum(one.numel() for one in self._own.values())

    def values(self, hidden: Tensor) -> Tensor:
        """Hidden states [states, size] of any format → float32 [states]."""
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.head(hidden.float())
        return values[:, 0]

    def groups(self) -> list[ParameterGroup]:
        """The method's groups, and two for the head: weight decay spares its bias."""
        groups = self.inner.groups()
        rate = groups[0].learning_rate if self._learning_rate is None else self._learning_rate
        head = ParameterGroup((self._own[WEIGHT],), rate, groups[0].weight_decay)
        return [*groups, head, ParameterGroup((self._own[BIAS],), rate, 0.0)]

    def save(self, folder: Path) -> None:
        """What the method writes, and the head beside it."""
        self.inner.save(folder)
        if self._saves_head:
            tensors = {name: one.detach().cpu().contiguous() for name, one in self._own.items()}
            save_file(tensors, folder / VALUE_HEAD, {"format": "pt"})

    def write_card(self, folder: Path, results: Mapping[str, float] | None = None) -> None:
        self.inner.write_card(folder, results)

    def state(self) -> Mapping[str, Tensor]:
        head = {name: one.detach().to("cpu", copy=True) for name, one in self._own.items()}
        return {**self.inner.state(), **head}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            ModelError: it belongs to another training.
        """
        lacking = [name for name in self._own if name not in state]
        if lacking:
            what = _("the stored state has no value head: {name} is missing").format(name=lacking[0])
            raise ModelError(what, _("resume with the same stage"))
        self.inner.restore({name: one for name, one in state.items() if name not in self._own})
        with torch.no_grad():
            for name, parameter in self._own.items():
                parameter.copy_(state[name])


def with_head(
    tunable: Tunable,
    base: TrainingBase,
    *,
    learning_rate: float | None = None,
    saves_head: bool = True,
    at_random: bool = False,
    goes_on_from: Path | None = None,
) -> HeadedTunable:
    """Put a value head beside what is trained.

    Args:
        learning_rate: of the head; not given: the method's.
        saves_head: whether `save` writes it.
        at_random: whether it begins as N(0, 1 / (size + 1)), drawn from torch's generator (arXiv:2009.01325), not at 0.
        goes_on_from: a folder whose head is trained further, where it has one.

    Raises:
        ModelError: the head to go on from is of another model, or cannot be read.
    """
    network: Any = base.network
    size = int(network.config.get_text_config().hidden_size)
    head = nn.Linear(size, 1, device=network.device, dtype=torch.float32)
    if at_random:
        nn.init.normal_(head.weight, std=(size + 1) ** -0.5)
    else:
        nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    path = goes_on_from / VALUE_HEAD if goes_on_from is not None else None
    if path is not None and path.is_file():
        _copy_head(path, head)
    return HeadedTunable(tunable, head, learning_rate=learning_rate, saves_head=saves_head)


def _copy_head(path: Path, head: nn.Linear) -> None:
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(_("{path} cannot be read: {error}").format(path=path, error=error)) from error
    weight, bias = stored.get(WEIGHT), stored.get(BIAS)
    if weight is None or weight.shape != head.weight.shape:
        what = _("{path} is no value head of this model").format(path=path)
        raise ModelError(what, _("{weight} has to be 1×{size}").format(weight=WEIGHT, size=head.in_features))
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)


def freeze_output_head(tunable: Tunable) -> None:
    """Leave the projection to the vocabulary as it is: no reward depends on it. A tied one is trained as embedding."""
    network: Any = tunable.network
    ends = [module for module in (network.get_output_embeddings(),) if module is not None]
    embedded = {id(parameter) for parameter in network.get_input_embeddings().parameters()}
    idle = {id(parameter) for end in ends for parameter in end.parameters()} - embedded
    for parameter in tunable.trained.values():
        if id(parameter) in idle:
            parameter.requires_grad_(False)
    tunable.trained = {name: one for name, one in tunable.trained.items() if id(one) not in idle}
