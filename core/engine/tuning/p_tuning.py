"""P-Tuning v2: the model stays as it is, a prefix is trained in float32 and saved alone.

A new prefix begins as what the model itself remembers of a plain text. Random numbers, with which the original begins,
disturb every layer first: on the default model and 16 tokens the loss begins at 7.7 instead of 3.8, and after 25
updates of the same learning rate it is at 3.1 instead of 1.5. A projection begins at random, which is small there: led
to the text's mean it learnt more slowly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers.cache_utils import DynamicCache

from core.config.finetuning import FinetuningOptions
from core.config.optimization import OptimizationOptions
from core.engine.adapters import open_adapter
from core.engine.prefix import PrefixEncoder, PrefixShape, prefix_shape, prefix_slot, read_prefix
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.tuned import Tuned
from core.errors import ModelError
from core.i18n import _
from core.models.notes import PREFIX_FILE, AdapterNotes, PrefixFacts

_TEXT = "You are a helpful assistant. Answer the question. "


@dataclass
class TunedPrefix(Tuned):
    """A prefix before an untouched model."""

    encoder: PrefixEncoder = field(kw_only=True)

    def _save_weights(self, folder: Path) -> None:
        """The encoder as it is, a projection included, so that the training can go on from it."""
        tensors: dict[str, Tensor] = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.encoder.state_dict().items()
        }
        save_file(tensors, folder / PREFIX_FILE, {"format": "pt"})

    def _facts(self) -> dict[str, object]:
        return {"pre_seq_len": self.encoder.facts.pre_seq_len, "prefix_projection": self.encoder.facts.projection}


def tune_prefix(
    base: TrainingBase,
    options: FinetuningOptions,
    optimization: OptimizationOptions,
    adapters: Sequence[Path],
    notes: AdapterNotes,
) -> Tuned:
    """Put a prefix before a model's text: a new one, or one that is trained further.

    Raises:
        ModelError: the model takes none, or what should be trained further is no prefix of its shape.
    """
    network = base.network.requires_grad_(False)
    shape = prefix_shape(network)
    told: tuple[str, ...] = ()
    if adapters:
        encoder, told = _continued(adapters, options, shape)
    else:
        encoder = PrefixEncoder(shape, PrefixFacts(options.pre_seq_len, options.prefix_projection))
        if not options.prefix_projection:
            encoder.embedding.weight.data.copy_(_remembered(base, options.pre_seq_len))
    encoder = encoder.to(network.device, torch.bfloat16 if optimization.pure_bf16 else torch.float32)
    prefix_slot(network).active = encoder
    return TunedPrefix(
        base,
        options,
        optimization,
        dataclasses.replace(notes, method="p_tuning", prefix=encoder.facts),
        network,
        "p_tuning",
        {f"prefix_encoder.{name}": one for name, one in encoder.named_parameters()},
        told,
        exact_sharing=False,
        pads=True,
        encoder=encoder,
    )


@torch.no_grad()
def _remembered(base: TrainingBase, length: int) -> Tensor:
    """Keys and values of a text in all layers, [length, width]; at position 0, where keys carry no rotary angle."""
    ids = base.tokenizer.encode(_TEXT) or [0]
    read = torch.tensor([(ids * (length // len(ids) + 1))[:length]], device=base.network.device)
    cache: Any = DynamicCache()
    base.network.eval()(
        input_ids=read,
        attention_mask=torch.ones_like(read),
        position_ids=torch.zeros_like(read),
        past_key_values=cache,
        use_cache=True,
    )
    layers = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]
    return torch.stack(layers).permute(3, 0, 1, 2, 4).reshape(length, -1).float()


def _continued(
    adapters: Sequence[Path], options: FinetuningOptions, shape: PrefixShape
) -> tuple[PrefixEncoder, tuple[str, ...]]:
    if len(adapters) > 1:
        raise ModelError(
            _("p_tuning goes on from one prefix, not from {count} adapters").format(count=len(adapters)),
            _("merge LoRA adapters into the model first: finetui export"),
        )
    folder = open_adapter(adapters[0])
    if not folder.is_prefix:
        raise ModelError(
            _("{path} is a {method} adapter; p_tuning goes on from a prefix only").format(
                path=folder.path, method=folder.method
            ),
            _("set finetuning_type lora, or merge it into the model first: finetui export"),
        )
    encoder = read_prefix(folder.weights, folder.notes.prefix if folder.notes else None, shape)
    facts = encoder.facts
    if (facts.pre_seq_len, facts.projection) == (options.pre_seq_len, options.prefix_projection):
        return encoder, ()
    told = _("goes on with the prefix of {path}: {length} tokens, {projection}; pre_seq_len does not count")
    kind = _("with a projection") if facts.projection else _("without a projection")
    return encoder, (told.format(path=folder.path, length=facts.pre_seq_len, projection=kind),)
