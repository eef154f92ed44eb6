"""A decoder layer's weights, laid out for speed without a second copy.

Query, key and value (and gate and up) lie in one storage, so that one product does for all; the model's own modules
keep views of it. Everything that works on those modules, PEFT first of all, goes on working: before the weights are
fused, and after. A network that PEFT has already put factors into is fused below them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Module: TypeAlias = Any
"""Modules of transformers, whose classes have no common type that names their parts."""


@dataclass(frozen=True)
class FusedLinear:
    """Linear layers that share their input, as one."""

    weight: Tensor
    """[outputs, inputs]"""
    bias: Tensor | None
    parts: tuple[slice, ...]
    """The outputs of each of the layers."""


@dataclass(frozen=True)
class FusedLayer:
    """The weights of one decoder layer."""

    qkv: FusedLinear
    out: FusedLinear
    gate_up: FusedLinear
    down: FusedLinear
    norm_before_attention: Tensor
    norm_after_attention: Tensor | None
    """Gemma's, on the attention's output; None elsewhere."""
    norm_before_mlp: Tensor
    norm_after_mlp: Tensor | None
    norm_of_heads: Tensor | None
    """Of queries and keys, [heads + kv_heads, head_dim]; None where there is none."""
    window: int | None
    """How many tokens back are seen, the token itself counted; None: all."""
    rope: str
    """Which of the model's rotary tables."""


@dataclass(frozen=True)
class FusedDecoder:
    """A whole dense decoder: its weights and the few numbers that its arithmetic needs."""

    layers: list[FusedLayer]
    embedding: Tensor
    embedding_scale: Tensor | None
    norm: Tensor
    head: FusedLinear
    softcap: float | None
    """Of the last logits."""
    activation: Module
    heads: int
    kv_heads: int
    head_dim: int
    attention_scale: float
    epsilon: float

    @property
    def is_float32_on_cpu(self) -> bool:
        return self.embedding.device.type == "cpu" and self.embedding.dtype == torch.float32


def fuse_decoder(model: Module) -> FusedDecoder:
    """Fuse the weights of a transformers model, whose modules get views of them."""
    config, decoder = model.config, model.model
    is_gemma = config.model_type == "gemma3_text"
    attention = decoder.layers[0].self_attn
    embedding: Tensor = decoder.embed_tokens.weight.detach()
    norm = norm_weight(decoder.norm, is_gemma)
    return FusedDecoder(
        layers=[_fuse_layer(layer, config, index, is_gemma) for index, layer in enumerate(decoder.layers)],
        embedding=embedding,
        embedding_scale=decoder.embed_tokens.embed_scale.to(embedding.dtype) if is_gemma else None,
        norm=norm,
        head=FusedLinear(model.lm_head.weight.detach(), None, ()),
        softcap=getattr(config, "final_logit_softcapping", None),
        activation=decoder.layers[0].mlp.act_fn,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=attention.head_dim,
        attention_scale=attention.scaling,
        epsilon=config.rms_norm_eps,
    )


def _fuse_layer(layer: Module, config: Module, index: int, is_gemma: bool) -> FusedLayer:
    attention, mlp = layer.self_attn, layer.mlp
    types: list[str] | None = getattr(config, "layer_types", None)
    slides = types is None or types[index] == "sliding_attention"  # mistral slides everywhere or nowhere
    behind_attention = norm_weight(layer.post_attention_layernorm, is_gemma)
    return FusedLayer(
        qkv=fuse(attention.q_proj, attention.k_proj, attention.v_proj),
        out=fuse(attention.o_proj),
        gate_up=fuse(mlp.gate_proj, mlp.up_proj),
        down=fuse(mlp.down_proj),
        norm_before_attention=norm_weight(layer.input_layernorm, is_gemma),
        norm_after_attention=behind_attention if is_gemma else None,
        norm_before_mlp=norm_weight(layer.pre_feedforward_layernorm, True) if is_gemma else behind_attention,
        norm_after_mlp=norm_weight(layer.post_feedforward_layernorm, True) if is_gemma else None,
        norm_of_heads=_heads_norm(attention, config, is_gemma),
        window=getattr(config, "sliding_window", None) if slides else None,
        rope=types[index] if is_gemma and types is not None else "",
    )


def fuse(*modules: Module) -> FusedLinear:
    """Lay linear layers of one input in one storage, of which their weights become views."""
    linears: list[Any] = [getattr(one, "base_layer", one) for one in modules]  # PEFT's own is below its factors
    first = linears[0]
    ends = [sum(one.out_features for one in linears[: i + 1]) for i in range(len(linears))]
    parts = tuple(slice(end - one.out_features, end) for end, one in zip(ends, linears, strict=True))
    if len(linears) == 1:
        return FusedLinear(first.weight.detach(), None if first.bias is None else first.bias.detach(), parts)
    weight = first.weight.detach().new_empty(ends[-1], first.in_features)
    bias = None if first.bias is None else first.bias.detach().new_empty(ends[-1])
    for part, one in zip(parts, linears, strict=True):
        weight[part] = one.weight.detach()
        one.weight.data = weight[part]  # not another parameter: who trains it holds on to this one
        if bias is not None:
            bias[part] = one.bias.detach()
            one.bias.data = bias[part]
    return FusedLinear(weight, bias, parts)


def norm_weight(norm: Module, is_offset: bool) -> Tensor:
    """A norm's weight as a plain factor. Gemma stores its distance from 1 and multiplies in float32."""
    weight: Tensor = norm.weight.detach()
    return 1.0 + weight.float() if is_offset else weight


def _heads_norm(attention: Module, config: Module, is_offset: bool) -> Tensor | None:
    """The norms of queries and keys as one factor."""
    if not hasattr(attention, "q_norm"):
        return None
    query, key = norm_weight(attention.q_norm, is_offset), norm_weight(attention.k_norm, is_offset)
    return torch.cat((query.expand(config.num_attention_heads, -1), key.expand(config.num_key_value_heads, -1)))
