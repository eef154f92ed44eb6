"""Modules of known families get the lean arithmetic as their forward, and give it back at the end.

Only `forward` of single modules is replaced: parameters, names, hooks and everything that PEFT and transformers do
with them stay. A module that is not exactly what the arithmetic is for (several adapters, dropout, quantised or trained
base weights, an unknown activation) keeps its own forward, by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn
from transformers import activations

from core.engine.forward.arithmetic import Activation, gated, linear_with_lora, rms_norm, rotated
from core.engine.forward.attention import Manner, attend
from core.engine.forward.dora import lengths_with_lora, linear_with_dora, squared_lengths
from core.engine.forward.ragged import Ragged

Module = Any
Forwards = Callable[..., Any]

_LLAMA = (0.0, True)
_GEMMA = (1.0, False)
_NORMS: dict[str, tuple[float, bool]] = {
    "Gemma2RMSNorm": _GEMMA,
    "Gemma3RMSNorm": _GEMMA,
    "GemmaRMSNorm": _GEMMA,
    "Glm4RMSNorm": _LLAMA,
    "GlmRMSNorm": _LLAMA,
    "LlamaRMSNorm": _LLAMA,
    "MistralRMSNorm": _LLAMA,
    "Olmo2RMSNorm": (0.0, False),
    "Phi3RMSNorm": _LLAMA,
    "Qwen2RMSNorm": _LLAMA,
    "Qwen3RMSNorm": _LLAMA,
    "SmolLM3RMSNorm": _LLAMA,
}
"""What is added to the weights, and whether the quotient is rounded before the product with them."""
_GATED_MLPS = frozenset(
    ("Gemma2MLP", "Gemma3MLP", "GemmaMLP", "LlamaMLP", "MistralMLP", "Olmo2MLP", "Qwen2MLP", "Qwen3MLP", "SmolLM3MLP")
)
_JOINED_MLPS = frozenset(("Glm4MLP", "GlmMLP", "Phi3MLP"))
"""Gate and up are one product; the gate's half comes first."""
_ATTENTIONS = frozenset(
    (
        "Gemma2Attention",
        "Gemma3Attention",
        "GemmaAttention",
        "LlamaAttention",
        "MistralAttention",
        "Qwen2Attention",
        "Qwen3Attention",
    )
)


class LeanModules:
    """What was replaced in a model; `restore` takes it back."""

    def __init__(self, model: Module, *, only_attention: bool = False) -> None:
        self._replaced: list[Module] = []
        for name, module in model.named_modules():
            forward = lean_forward(module)
            if forward is not None and (not only_attention or ".self_attn" in name):
                module.forward = forward
                self._replaced.append(module)

    def __bool__(self) -> bool:
        return bool(self._replaced)

    def restore(self) -> None:
        for module in self._replaced:
            del module.forward
        self._replaced.clear()


def lean_forward(module: Module) -> Forwards | None:
    """A module's forward in lean arithmetic; None where its own has to stay."""
    kind = type(module).__name__
    if isinstance(module, LoraLayer):
        return _lora(module) if _is_plain_lora(module) else None
    if kind in _NORMS:
        return _norm(module, *_NORMS[kind])
    if kind in _GATED_MLPS or kind in _JOINED_MLPS:
        activation = _activation(getattr(module, "act_fn", None) or module.activation_fn)
        return None if activation is None else _mlp(module, activation, kind in _JOINED_MLPS)
    return _attention(module) if kind in _ATTENTIONS else None


def _is_plain_lora(layer: Module) -> bool:
    """One adapter, on a frozen linear layer of torch's own, without dropout or variants but DoRA."""
    base, names = layer.base_layer, layer.active_adapters
    return (
        type(base) is nn.Linear
        and not base.weight.requires_grad
        and (base.bias is None or not base.bias.requires_grad)
        and len(names) == 1
        and names[0] in layer.lora_A
        and isinstance(layer.lora_variant.get(names[0]), (DoraLinearVariant, type(None)))
        and isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and not layer.lora_bias[names[0]]
        and not layer.fan_in_fan_out
    )


def _lora(layer: Module) -> Forwards:
    (name,) = layer.active_adapters
    base, down, up = layer.base_layer, layer.lora_A[name], layer.lora_B[name]
    original = layer.forward
    magnitude = layer.lora_magnitude_vector[name] if name in layer.lora_variant else None
    squared = None if magnitude is None else squared_lengths(base.weight)

    def forward(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if layer.disable_adapters or layer.merged or layer.active_adapters != [name] or arguments or options:
            output: Tensor = original(x, *arguments, **options)
            return output
        weight, bias = base.weight, base.bias
        scale = None
        if magnitude is not None and squared is not None:
            lengths = lengths_with_lora(squared, weight, down.weight, up.weight, layer.scaling[name])
            scale = magnitude.weight / lengths
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        x = x.to(weight.dtype)
        if scale is not None:
            return linear_with_dora(x, weight, bias, down.weight, up.weight, scale, layer.scaling[name])
        return linear_with_lora(x, weight, bias, down.weight, up.weight, layer.scaling[name])

    return forward


def _norm(norm: Module, offset: float, round_first: bool) -> Forwards:
    epsilon = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps

    def forward(x: Tensor) -> Tensor:
        return rms_norm(x, norm.weight, epsilon, offset=offset, round_first=round_first)

    return forward


def _activation(module: Module) -> Activation | None:
    if isinstance(module, (nn.SiLU, activations.SiLUActivation)):
        return "silu"
    if isinstance(module, activations.GELUTanh):
        return "gelu_tanh"
    return "gelu" if isinstance(module, activations.GELUActivation) else None


def _mlp(mlp: Module, activation: Activation, is_joined: bool) -> Forwards:
    def forward(x: Tensor) -> Tensor:
        gate, up = mlp.gate_up_proj(x).chunk(2, -1) if is_joined else (mlp.gate_proj(x), mlp.up_proj(x))
        output: Tensor = mlp.down_proj(gated(gate, up, activation))
        return output

    return forward


def _attention(attention: Module) -> Forwards:
    """Attention of the Llama kind: grouped heads, rotary halves, perhaps norms of the heads (Qwen 3, Gemma 3)."""
    original = attention.forward
    norms = (getattr(attention, "q_norm", None), getattr(attention, "k_norm", None))
    window, softcap = getattr(attention, "sliding_window", None), getattr(attention, "attn_logit_softcapping", None)
    if "Mistral" in type(attention).__name__:  # says it only in its config
        window = getattr(attention.config, "sliding_window", None)

    def forward(
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        ragged: Ragged | None = None,
        **options: Any,
    ) -> tuple[Tensor, Any]:
        if ragged is None or position_embeddings is None:
            options |= {"position_embeddings": position_embeddings, "attention_mask": attention_mask}
            result: tuple[Tensor, Any] = original(hidden_states, past_key_values=past_key_values, **options)
            return result
        x = hidden_states[0]
        query, key, value = (
            projection(x).view(len(x), -1, attention.head_dim)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = (x if norm is None else norm(x) for x, norm in zip((query, key), norms, strict=True))
        cos, sin = (angles[0] for angles in position_embeddings)
        query, key = rotated(query, cos, sin), rotated(key, cos, sin)
        query, key, value = (part.transpose(0, 1)[None] for part in (query, key, value))
        manner = Manner(attention.attention_dropout if attention.training else 0.0, attention.scaling, window, softcap)
        output = attend(ragged, query, key, value, manner)
        return attention.o_proj(output.flatten(2)), None

    return forward
