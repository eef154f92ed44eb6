"""A model's measures from its config and the headers of its weights: no weight is read, torch is not imported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.models.info import read_json, read_weights
from core.models.safetensors_header import TensorHeader

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


@dataclass(frozen=True)
class Anatomy:
    """What a model is made of."""

    weights: Mapping[str, TensorHeader]
    layers: int
    hidden: int
    inner: int
    """Of the feed-forward part."""
    query: int
    """All heads together."""
    key: int
    """All key heads together; values are as wide."""
    vocabulary: int
    is_tied: bool
    """Whether the output head is the embedding."""

    @property
    def parameters(self) -> int:
        return sum(header.elements for _name, header in self.parts())

    @property
    def stored(self) -> str:
        """The format of most weights, as torch names it."""
        formats = Counter(header.dtype for header in self.weights.values())
        return formats.most_common(1)[0][0] if formats else ""

    def parts(self) -> list[tuple[str, TensorHeader]]:
        """The weights that the loaded model has; a head that is the embedding counts once."""
        head = "lm_head.weight"
        return [(name, header) for name, header in self.weights.items() if not (self.is_tied and name.endswith(head))]

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear layers, by their names; the output head is not one of them."""
        return {
            name.removesuffix(".weight"): (header.shape[1], header.shape[0])
            for name, header in self.weights.items()
            if name.endswith(".weight") and len(header.shape) == 2 and layer_of(name) is not None
        }

    @property
    def vocabularies(self) -> dict[str, tuple[int, int]]:
        """The same of embedding and output head; a head that is the embedding has no weights of its own."""
        found = {
            name.removesuffix(".weight"): (header.shape[1], header.shape[0])
            for name, header in self.weights.items()
            if name.endswith(".weight") and len(header.shape) == 2 and layer_of(name) is None
        }
        embedding = next(iter(found.values()), (0, 0))
        return found | {"lm_head": embedding} if self.is_tied else found


def layer_of(name: str) -> int | None:
    """The number of the layer that a weight is in."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def read_anatomy(folder: Path) -> Anatomy:
    """The measures of the model in a folder; zeros where its config does not say.

    Raises:
        ModelError: there is no config.
    """
    config = read_json(folder / "config.json")
    nested = config.get("text_config")
    text: Mapping[str, Any] = nested if isinstance(nested, dict) else config

    def number(*names: str, default: int = 0) -> int:
        return next((value for name in names if type(value := text.get(name)) is int), default)

    hidden, heads = number("hidden_size", "n_embd"), number("num_attention_heads", "n_head", default=1)
    head = number("head_dim", default=hidden // max(heads, 1))
    weights = read_weights(folder)
    has_head = any(name.endswith("lm_head.weight") for name in weights)
    return Anatomy(
        weights,
        number("num_hidden_layers", "num_layers", "n_layer"),
        hidden,
        number("intermediate_size", "ffn_hidden_size", "n_inner", default=4 * hidden),
        heads * head,
        number("num_key_value_heads", default=heads) * head,
        number("vocab_size", "padded_vocab_size"),
        bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", not has_head))),
    )
