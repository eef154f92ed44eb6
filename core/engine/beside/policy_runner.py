"""The network that is trained, as the model that answers: the same weights, held once.

The batched generator asks chat models, so the policy is one. Where the fast forward knows the family, the base's
weights are fused below PEFT's factors, and the factors are handed to it anew before each use (megabytes, where the base
has hundreds). Adapters of other models of this base, a reward model's or a reference's, lie beside them. Whatever else
is trained answers by transformers' own forward over the very network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from core.engine.chat_model import ChatModel
from core.engine.forward.families import inner_model
from core.engine.fused import FusedModel, is_fusable
from core.engine.load import UNKNOWN_CONTEXT, BaseModel
from core.engine.lora import FUSED_PLACES, LoraAdapter, LoraFactors
from core.engine.manner import manner_of_model
from core.engine.prefix import PrefixEncoder, prefix_slot
from core.engine.stock import StockModel
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.tunable import Tunable
from core.models.notes import AdapterNotes

POLICY = "policy"
_LAYER = re.compile(r"^model\.layers\.(\d+)\.(.+)$")


class PolicyRunner:
    """A network in training that answers."""

    def __init__(self, tunable: Tunable, base: TrainingBase) -> None:
        self.base = base
        self._tunable = tunable
        self._network: Any = inner_model(tunable.network)
        self._layers = _adapted(self._network) if tunable.method == "lora" else None
        self.chat = ChatModel(_base_model(self._network, base, tunable.notes, fuse=self._may_fuse()))

    def _may_fuse(self) -> bool:
        """Whether the base's weights stay as they are, so that they can serve others in their fused form too."""
        leaves_base = self._tunable.method == "p_tuning" or self._layers is not None
        return leaves_base and is_fusable(self._network)

    @contextmanager
    def answering(self) -> Iterator[ChatModel]:
        """The policy as it is now, under the name `POLICY`; without dropout and noise."""
        fused, device = self.chat.base.fused, self.chat.base.device
        with _evaluating(self._network), _folded_prefix(self._network, self._tunable.method):
            if fused is None or self._layers is None:
                self.chat.put_factors(POLICY, None, self.chat.base.manner)
                yield self.chat
                return
            with torch.autocast(device.type, enabled=False):  # the fast forward computes in the weights' own format
                factors = LoraAdapter(fused.layers, _factors(self._layers))
                self.chat.put_factors(POLICY, factors, self.chat.base.manner)
                yield self.chat


def _base_model(network: Any, base: TrainingBase, notes: AdapterNotes, *, fuse: bool) -> BaseModel:
    config = network.config.get_text_config()
    return BaseModel(
        name=base.name,
        folder=base.folder,
        network=network,
        tokenizer=base.tokenizer,
        manner=manner_of_model(base.folder, "auto", base.tokenizer),  # adapters beside have their own, or the base's
        wanted_template="auto",
        fused=FusedModel(network) if fuse else None,
        stock=StockModel(network),
        end_ids=base.end_ids,
        context_length=getattr(config, "max_position_embeddings", None) or UNKNOWN_CONTEXT,
        threads=torch.get_num_threads(),
        warnings=(),
        merged=tuple(one.sha256 for one in notes.chain),
    )


def _adapted(network: Any) -> dict[tuple[int, str], Any] | None:
    """The layers that have factors, by the fast forward's places; None where more is trained than it adds."""
    found: dict[tuple[int, str], Any] = {}
    trained = {id(one) for one in network.parameters() if one.requires_grad}
    adapted: list[tuple[str, Any]] = [each for each in network.named_modules() if isinstance(each[1], LoraLayer)]
    for name, module in adapted:
        place = _LAYER.match(name)
        if place is None or place[2] not in FUSED_PLACES or not _is_plain(module):
            return None
        found[int(place[1]), place[2]] = module
        trained -= {id(one) for one in module.parameters()}
    return None if trained else found


def _is_plain(layer: Any) -> bool:
    (name,) = layer.active_adapters if len(layer.active_adapters) == 1 else ("",)
    return (
        type(layer.base_layer) is nn.Linear
        and not layer.base_layer.weight.requires_grad
        and name in layer.lora_A
        and layer.lora_A[name].bias is None
        and not layer.lora_bias[name]
        and not layer.merged
    )


def _factors(layers: Mapping[tuple[int, str], Any]) -> dict[tuple[int, str], list[LoraFactors]]:
    """The factors as they are now; nothing is copied."""
    factors = {}
    for place, layer in layers.items():
        (name,) = layer.active_adapters
        magnitude = layer.lora_magnitude_vector[name].weight.detach() if layer.use_dora.get(name) else None
        a, b = layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach()
        factors[place] = [LoraFactors(a, b, layer.scaling[name], magnitude)]
    return factors


@contextmanager
def _evaluating(network: Any) -> Iterator[None]:
    """Dropout and noise are off for a while."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


@contextmanager
def _folded_prefix(network: Any, method: str) -> Iterator[None]:
    """A projected prefix is computed once for a while, not for every token."""
    if method != "p_tuning":
        yield
        return
    slot = prefix_slot(network)
    trained: PrefixEncoder | None = slot.active
    slot.active = None if trained is None else trained.folded()
    try:
        yield
    finally:
        slot.active = trained
