"""P-Tuning v2 (arXiv:2110.07602): trained keys and values that every layer's attention sees before the text.

They are put in front inside the attention function, not into the cache: so they need no room there, and training with
gradient checkpointing, static caches, padding on the left, caches kept over turns and sliding windows all work as
without a prefix. Text positions begin at 0 and prefix keys carry no rotary angle, as in the original. PEFT counts
positions from the prefix's length on and lets sliding windows move past it; its saved prefixes are served that way.

A network learns once to look for a prefix; which one answers is switched by `Slot.active`, none leaves the arithmetic
of transformers' own attention untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from core.engine.fused_layer import Module
from core.errors import ModelError
from core.i18n import _
from core.models.notes import PrefixFacts

_IMPLEMENTATION = "finetui_prefix"
_SLOT = "_finetui_prefix_slot"
_ORIGINAL = ("transformer.prefix_encoder.", "prefix_encoder.")
"""Before the names in checkpoints of THUDM's ptuning."""


@dataclass(frozen=True)
class PrefixShape:
    """What a model takes: keys and values per layer."""

    layers: int
    kv_heads: int
    head_dim: int

    @property
    def width(self) -> int:
        """Numbers per prefix token over all layers."""
        return self.layers * 2 * self.token_width

    @property
    def token_width(self) -> int:
        return self.kv_heads * self.head_dim


class PrefixEncoder(nn.Module):
    """The trained prefix: a table, or with a projection a small network that makes it.

    Args:
        facts: its length and how it is counted.
        hidden: the projection's inner width; 0 is that of a token's keys.
        inputs: the table's width under a projection; 0 is that of a token's keys.
    """

    def __init__(self, shape: PrefixShape, facts: PrefixFacts, *, hidden: int = 0, inputs: int = 0) -> None:
        super().__init__()
        self.shape, self.facts = shape, facts
        inputs = (inputs or shape.token_width) if facts.projection else shape.width
        self.embedding = nn.Embedding(facts.pre_seq_len, inputs)
        hidden = hidden or shape.token_width
        self.trans: nn.Sequential | None = (
            nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, shape.width))
            if facts.projection
            else None
        )

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, each [1, key-value heads, prefix length, head width].

        Computed for one layer at a time, so that a checkpointed layer computes all that it needs again.
        """
        size = 2 * self.shape.token_width
        columns = slice(layer * size, (layer + 1) * size)
        if self.trans is None:
            both = self.embedding.weight[:, columns]
        else:
            last: Any = self.trans[2]
            both = F.linear(self.trans[:2](self.embedding.weight), last.weight[columns], last.bias[columns])
        both = both.view(-1, 2, self.shape.kv_heads, self.shape.head_dim).permute(1, 2, 0, 3)
        return both[:1], both[1:]

    @torch.no_grad()
    def folded(self) -> PrefixEncoder:
        """The same prefix as a table, for answering."""
        if self.trans is None:
            return self
        facts = PrefixFacts(
            self.facts.pre_seq_len, first_position=self.facts.first_position, in_window=self.facts.in_window
        )
        table = PrefixEncoder(self.shape, facts).to(self.embedding.weight)
        table.embedding.weight.copy_(self.trans(self.embedding.weight))
        return table


@dataclass
class Slot:
    """The place of a network where its prefix is looked for."""

    active: PrefixEncoder | None = None


def prefix_shape(network: Module) -> PrefixShape:
    """What kind of prefix a network takes.

    Raises:
        ModelError: its attention is not of one shape in all layers, or cannot be reached.
    """
    config = network.config.get_text_config()
    layers = _attentions(network)
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    widths = {int(getattr(one, "head_dim", 0) or config.hidden_size // heads) for one in layers}
    if not network._can_set_attn_implementation() or len(layers) != config.num_hidden_layers or len(widths) != 1:
        raise ModelError(
            _("p_tuning does not know how {name} attends").format(name=type(network).__name__),
            _("its layers would need plain attention of one shape; train a LoRA adapter instead"),
        )
    return PrefixShape(len(layers), kv_heads, widths.pop())


def prefix_slot(network: Module) -> Slot:
    """The network's slot; made at the first call, which also lets its attention look for it."""
    layers = _attentions(network)
    slot: Slot | None = getattr(layers[0], _SLOT, None)
    if slot is None:
        slot = Slot()
        for layer in layers:
            object.__setattr__(layer, _SLOT, slot)
        network.get_decoder().register_forward_pre_hook(_placed(slot), with_kwargs=True)
    if network.config._attn_implementation != _IMPLEMENTATION:
        network.set_attn_implementation(_IMPLEMENTATION)
    return slot


def _attentions(network: Module) -> list[nn.Module]:
    return [one for one in network.modules() if hasattr(one, "layer_idx") and type(one).__name__.endswith("Attention")]


def _placed(slot: Slot) -> Any:
    """A hook of the decoder that moves positions, for prefixes that count themselves."""

    def place(_decoder: nn.Module, arguments: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
        first = 0 if slot.active is None else slot.active.facts.first_position
        if not first:
            return None
        positions = inputs.get("position_ids")
        if positions is None:
            tokens = inputs.get("input_ids")
            read = (arguments[0] if arguments else inputs["inputs_embeds"]) if tokens is None else tokens
            cache = inputs.get("past_key_values")
            start = 0 if cache is None else cache.get_seq_length()
            positions = torch.arange(read.shape[1], device=read.device)[None] + start
        return arguments, inputs | {"position_ids": positions + first}

    return place


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention over prefix and text; every token sees the whole prefix."""
    slot: Slot | None = getattr(module, _SLOT, None)
    if slot is not None and slot.active is not None:
        assert attention_mask is not None  # _mask makes one whenever a network has a slot
        before = [one.to(key.dtype).expand(len(key), -1, -1, -1) for one in slot.active.keys_values(module.layer_idx)]
        window = options.get("sliding_window") if slot.active.facts.in_window else None
        seen = _sees(slot.active.facts.pre_seq_len, window, query, attention_mask, options.get("position_ids"))
        key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        attention_mask = torch.cat([seen, attention_mask], -1)
        options["is_causal"] = False
    output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return output


def _sees(length: int, window: int | None, query: Tensor, mask: Tensor, positions: Tensor | None) -> Tensor:
    """Who sees which prefix token, in the form of the text's mask: [rows, 1, queries, prefix length]."""
    shape = (*mask.shape[:2], query.shape[2], length)
    if window is None or positions is None:
        seen = torch.ones(shape, dtype=torch.bool, device=mask.device)
    else:
        distance = positions[:, None, :, None] - torch.arange(length, device=positions.device)
        seen = (distance < window).expand(shape)
    if mask.dtype == torch.bool:
        return seen
    return torch.zeros(shape, dtype=mask.dtype, device=mask.device).masked_fill(~seen, torch.finfo(mask.dtype).min)


def _mask(*arguments: Any, **options: Any) -> Tensor | None:
    """Always a mask: without one the attention function could not tell the prefix from the future."""
    options["allow_is_causal_skip"] = False
    mask: Tensor | None = sdpa_mask(*arguments, **options)
    return mask


AttentionInterface.register(_IMPLEMENTATION, _attention)
AttentionMaskInterface.register(_IMPLEMENTATION, _mask)


def read_prefix(weights: Path, facts: PrefixFacts | None, shape: PrefixShape) -> PrefixEncoder:
    """A saved prefix: of ours, of PEFT (one table), or of THUDM's ptuning.

    Args:
        facts: what the notes say; None for those of others.

    Raises:
        ModelError: it is no prefix, or one for a model of another shape.
    """
    with safe_open(weights, "pt") as file:
        tensors = {_plain(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    if "prompt_embeddings" in tensors:
        tensors["embedding.weight"] = tensors.pop("prompt_embeddings")
        facts = facts or PrefixFacts(
            len(tensors["embedding.weight"]), first_position=len(tensors["embedding.weight"]), in_window=True
        )
    table = tensors.get("embedding.weight")
    if table is None:
        raise ModelError(_("{path} holds no prefix").format(path=weights), _("embedding.weight is expected"))
    facts = facts or PrefixFacts(len(table), projection="trans.0.weight" in tensors)
    hidden = len(tensors["trans.0.weight"]) if "trans.0.weight" in tensors else 0
    encoder = PrefixEncoder(shape, facts, hidden=hidden, inputs=table.shape[1])
    _check(encoder, tensors, weights)
    encoder.load_state_dict(tensors)
    return encoder.float()


def _plain(key: str) -> str:
    for start in _ORIGINAL:
        key = key.removeprefix(start)
    return key.replace("transform.", "trans.")


def _check(encoder: PrefixEncoder, tensors: Mapping[str, Tensor], weights: Path) -> None:
    for name, here in encoder.state_dict().items():
        there = tensors.get(name)
        if there is None or there.shape != here.shape:
            shapes = ["×".join(map(str, one.shape)) if one is not None else "–" for one in (here, there)]
            raise ModelError(
                _("the prefix {path} does not fit the model: {name} has to be {here} and is {there}").format(
                    path=weights, name=name, here=shapes[0], there=shapes[1]
                ),
                _("load the model that it was trained on"),
            )
