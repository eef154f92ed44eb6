"""The fast forward of dense decoders: llama, qwen2, qwen3, mistral and gemma3's text model.

What it saves over transformers' own: one product for query, key and value and one for gate and up, no copies of the
cache per token, the vocabulary only where a token is wanted, no padding and a fraction of the Python. Tokens of all
rows lie behind one another in [tokens, hidden]; only attention looks at rows one by one, each with its own length.
Rotary angles come from the model's own module, so every kind of rope scaling is the model's. The arithmetic follows
transformers' modules; greedy answers agree up to near-ties (float32 rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.engine.cache import Geometry, KeyValueRow
from core.engine.fused_layer import FusedLayer, FusedLinear, Module, fuse_decoder
from core.engine.lora import LoraAdapter
from core.engine.rotary import RotaryTables, has_fixed_angles
from core.engine.segment import Segment
from core.engine.single_token import SingleToken

_FAMILIES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}


def is_fusable(model: Module) -> bool:
    """Whether the fast forward computes exactly what this model does."""
    config = model.config
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return (
        _FAMILIES.get(config.model_type) == type(model).__name__
        and all(type(linear) is nn.Linear for linear in linears)  # not quantised, not wrapped
        and len({linear.weight.dtype for linear in linears}) == 1
        and len({linear.weight.device for linear in linears}) == 1
        and linears[0].weight.device.type != "meta"
        and getattr(config, "attn_logit_softcapping", None) is None
        and not getattr(config, "use_bidirectional_attention", False)
        and has_fixed_angles(config)
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """A segment's place among the tokens of a step."""

    rows: slice
    row: KeyValueRow
    start: int
    """How many tokens the row holds already."""
    end: int
    masks: dict[int | None, tuple[int, Tensor | None]]
    """By window: the first position that is seen at all, and who sees whom (None: causal from the beginning)."""


class FusedModel:
    """A runner over the weights of a transformers model, which become views of fused ones."""

    def __init__(self, model: Module) -> None:
        decoder = self._decoder = fuse_decoder(model)
        weight = decoder.embedding
        self.adapters: dict[str, LoraAdapter] = {}
        self._geometry = Geometry(len(decoder.layers), decoder.kv_heads, decoder.head_dim, weight.dtype, weight.device)
        self._rotary = RotaryTables(model.model.rotary_emb, model.config, weight.dtype)
        self._single = SingleToken(decoder) if decoder.is_float32_on_cpu else None

    @property
    def layers(self) -> list[FusedLayer]:
        return self._decoder.layers

    def new_row(self) -> KeyValueRow:
        return KeyValueRow(self._geometry)

    def continue_row(self, row: KeyValueRow, length: int) -> bool:
        row.crop(length)
        return True

    @torch.inference_mode()
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """See `Runner.forward`."""
        if self._single is not None and len(segments) == 1 and len(segments[0].ids) == 1:
            return self._forward_single(self._single, segments[0])
        spans = self._spans(segments)
        device = self._geometry.device
        ids = torch.tensor([i for segment in segments for i in segment.ids], device=device)
        positions = torch.cat([torch.arange(span.start, span.end) for span in spans]).to(device)
        x = F.embedding(ids, self._decoder.embedding)
        if self._decoder.embedding_scale is not None:
            x = x * self._decoder.embedding_scale
        angles = self._rotary.at(positions, max(span.end for span in spans))
        adapted = [
            (span.rows, self.adapters[segment.adapter])
            for span, segment in zip(spans, segments, strict=True)
            if segment.adapter is not None
        ]
        for index, layer in enumerate(self.layers):
            x = self._attention(x, layer, index, angles[layer.rope], spans, adapted)
            x = self._mlp(x, layer, index, adapted)
        for segment in segments:
            segment.row.tokens.extend(segment.ids)
        return self._logits(x, spans, segments)

    def _forward_single(self, single: SingleToken, segment: Segment) -> Tensor:
        row, (token,) = segment.row, segment.ids
        position = len(row.tokens)
        row.reserve(position + 1)
        adapter = None if segment.adapter is None else self.adapters[segment.adapter]
        logits = single.read(token, row, self._rotary.of(position), adapter, segment.wants_logits)
        row.tokens.append(token)
        return logits

    def _spans(self, segments: Sequence[Segment]) -> list[_Span]:
        spans, at = [], 0
        windows = {layer.window for layer in self.layers}
        for segment in segments:
            start, count = len(segment.row.tokens), len(segment.ids)
            segment.row.reserve(start + count)
            masks = {w: _mask(start, start + count, w, self._geometry.device) for w in windows}
            spans.append(_Span(slice(at, at + count), segment.row, start, start + count, masks))
            at += count
        return spans

    def _logits(self, x: Tensor, spans: list[_Span], segments: Sequence[Segment]) -> Tensor:
        last = [span.rows.stop - 1 for span, segment in zip(spans, segments, strict=True) if segment.wants_logits]
        decoder = self._decoder
        if not last:
            return x.new_empty(0, len(decoder.head.weight), dtype=torch.float32)
        x = x if len(last) == len(x) else x[last]
        logits = F.linear(self._normed(x, decoder.norm), decoder.head.weight).float()
        return logits if decoder.softcap is None else torch.tanh(logits / decoder.softcap) * decoder.softcap

    def _attention(
        self,
        x: Tensor,
        layer: FusedLayer,
        index: int,
        angles: tuple[Tensor, Tensor],
        spans: list[_Span],
        adapted: list[tuple[slice, LoraAdapter]],
    ) -> Tensor:
        heads, kv_heads, head_dim = self._decoder.heads, self._decoder.kv_heads, self._decoder.head_dim
        inputs = self._normed(x, layer.norm_before_attention)
        qkv = F.linear(inputs, layer.qkv.weight, layer.qkv.bias)
        _add_adapters(qkv, inputs, adapted, index, "qkv")
        qkv = qkv.view(len(x), heads + 2 * kv_heads, head_dim)
        qk = qkv[:, : heads + kv_heads]
        if layer.norm_of_heads is not None:
            qk = self._normed(qk, layer.norm_of_heads)
        qk = _rotated(qk, *angles)
        new_kv = torch.cat((qk[:, heads:], qkv[:, heads + kv_heads :]), 1).transpose(0, 1)
        mixed = x.new_empty(len(x), heads * head_dim) if len(spans) > 1 else None
        for span in spans:
            stored = span.row.storage[index]
            stored[:, span.start : span.end] = new_kv[:, span.rows]
            seen = self._attend(qk[span.rows, :heads], stored, span, layer.window)
            if mixed is None:
                mixed = seen
            else:
                mixed[span.rows] = seen
        assert mixed is not None
        return self._onto(x, mixed, layer.out, layer.norm_after_attention, adapted, index, "out")

    def _attend(self, query: Tensor, stored: Tensor, span: _Span, window: int | None) -> Tensor:
        """Attention of one row: query [tokens, heads, head_dim], stored [2 · kv_heads, capacity, head_dim]."""
        first, mask = span.masks[window]
        kv_heads = self._decoder.kv_heads
        keys, values = stored[None, :kv_heads, first : span.end], stored[None, kv_heads:, first : span.end]
        scale = self._decoder.attention_scale
        if len(query) == 1:  # the query heads of one key head stand where its tokens would
            query = query.view(1, kv_heads, -1, self._decoder.head_dim)
            return F.scaled_dot_product_attention(query, keys, values, scale=scale).reshape(1, -1)
        seen = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None],
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=True,
        )
        return seen[0].transpose(0, 1).reshape(len(query), -1)

    def _mlp(self, x: Tensor, layer: FusedLayer, index: int, adapted: list[tuple[slice, LoraAdapter]]) -> Tensor:
        inputs = self._normed(x, layer.norm_before_mlp)
        both = F.linear(inputs, layer.gate_up.weight, layer.gate_up.bias)
        _add_adapters(both, inputs, adapted, index, "gate_up")
        gate, up = (both[:, part] for part in layer.gate_up.parts)
        return self._onto(
            x, self._decoder.activation(gate) * up, layer.down, layer.norm_after_mlp, adapted, index, "down"
        )

    def _onto(
        self,
        x: Tensor,
        inputs: Tensor,
        linear: FusedLinear,
        norm: Tensor | None,
        adapted: list[tuple[slice, LoraAdapter]],
        index: int,
        place: str,
    ) -> Tensor:
        """The residual stream plus a projection."""
        if norm is None and linear.bias is None and not adapted:  # one kernel for product and sum
            return torch.addmm(x, inputs, linear.weight.t())
        output = F.linear(inputs, linear.weight, linear.bias)
        _add_adapters(output, inputs, adapted, index, place)
        return x + (output if norm is None else self._normed(output, norm))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        shape, epsilon = (x.shape[-1],), self._decoder.epsilon
        if x.dtype == torch.float32:
            if weight.dim() == 1:
                return F.rms_norm(x, shape, weight, epsilon)
            return F.rms_norm(x, shape, None, epsilon) * weight
        normed = F.rms_norm(x.float(), shape, None, epsilon)
        if weight.dtype == torch.float32:  # gemma: rounded after the factor, not before
            return (normed * weight).type_as(x)
        return normed.type_as(x) * weight


def _add_adapters(
    output: Tensor, inputs: Tensor, adapted: list[tuple[slice, LoraAdapter]], index: int, place: str
) -> None:
    for rows, adapter in adapted:
        delta = adapter.layers[index].get(place)
        if delta is not None:
            delta.add_to(output[rows], inputs[rows])


def _rotated(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotary embedding of [tokens, heads, head_dim]; the sign of the rotated half lies in the sine."""
    halves = x.view(*x.shape[:-1], 2, -1).flip(-2).view(x.shape)
    return torch.addcmul(x * cos, halves, signed_sin)


def _mask(start: int, end: int, window: int | None, device: torch.device) -> tuple[int, Tensor | None]:
    """Who sees whom: the first position that any of the tokens start … end − 1 sees, and a mask from there on.

    None stands for causal over the whole span (or, for a single token, for everything).
    """
    first = 0 if window is None else max(0, start + 1 - window)
    if end - start == 1 or (start == 0 and (window is None or end <= window)):
        return first, None
    query = torch.arange(start, end, device=device)[:, None]
    key = torch.arange(first, end, device=device)[None]
    mask = key <= query
    return first, mask if window is None else mask & (key > query - window)
