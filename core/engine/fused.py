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
from core.engine.span import Part, Span, mask

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
    linears = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and ".lora_" not in name]
    return (
        _FAMILIES.get(config.model_type) == type(model).__name__
        and all(type(linear) is nn.Linear for linear in linears)  # not quantised; PEFT's factors lie beside them
        and len({linear.weight.dtype for linear in linears}) == 1
        and len({linear.weight.device for linear in linears}) == 1
        and linears[0].weight.device.type != "meta"
        and getattr(config, "attn_logit_softcapping", None) is None
        and not getattr(config, "use_bidirectional_attention", False)
        and has_fixed_angles(config)
    )


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens of any number of rows that are read together."""

    ids: Sequence[int]
    positions: Tensor
    """int64 [tokens], on the model's device."""
    longest: int
    """All positions lie below it."""
    parts: Sequence[Part]
    adapted: Sequence[tuple[slice, LoraAdapter]]
    """Which tokens have which adapter; those of none have none."""
    wanted: Sequence[int]
    """The tokens behind which logits are needed."""


class FusedModel:
    """A runner over the weights of a transformers model, which become views of fused ones."""

    def __init__(self, model: Module) -> None:
        decoder = self._decoder = fuse_decoder(model)
        weight = decoder.embedding
        self.adapters: dict[str, LoraAdapter] = {}
        self.geometry = Geometry(len(decoder.layers), decoder.kv_heads, decoder.head_dim, weight.dtype, weight.device)
        self._rotary = RotaryTables(model.model.rotary_emb, model.config, weight.dtype)
        self._single = SingleToken(decoder) if decoder.is_float32_on_cpu else None

    @property
    def layers(self) -> list[FusedLayer]:
        return self._decoder.layers

    @property
    def windows(self) -> set[int | None]:
        """All kinds of windows of the layers; None is none."""
        return {layer.window for layer in self.layers}

    @property
    def attention_scale(self) -> float:
        return self._decoder.attention_scale

    def new_row(self) -> KeyValueRow:
        return KeyValueRow(self.geometry)

    def continue_row(self, row: KeyValueRow, length: int) -> bool:
        row.crop(length)
        return True

    @torch.inference_mode()
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """See `Runner.forward`."""
        if self._single is not None and len(segments) == 1 and len(segments[0].ids) == 1:
            return self._forward_single(self._single, segments[0])
        spans = self._spans(segments)
        step = Step(
            ids=[i for segment in segments for i in segment.ids],
            positions=torch.cat([torch.arange(span.start, span.end) for span in spans]).to(self.geometry.device),
            longest=max(span.end for span in spans),
            parts=spans,
            adapted=[
                (span.rows, self.adapters[segment.adapter])
                for span, segment in zip(spans, segments, strict=True)
                if segment.adapter is not None
            ],
            wanted=[span.rows.stop - 1 for span, segment in zip(spans, segments, strict=True) if segment.wants_logits],
        )
        logits = self.read(step)
        for segment in segments:
            segment.row.tokens.extend(segment.ids)
        return logits

    @torch.inference_mode()
    def read(self, step: Step) -> Tensor:
        """Read tokens; their parts know what is seen and where it is stored.

        Returns:
            float32 logits [wanted, vocabulary].
        """
        return self.logits(self.hidden(step))

    @torch.inference_mode()
    def hidden(self, step: Step) -> Tensor:
        """The same without the vocabulary: the last layer's output [wanted, hidden]."""
        x = F.embedding(torch.tensor(step.ids, device=self.geometry.device), self._decoder.embedding)
        if self._decoder.embedding_scale is not None:
            x = x * self._decoder.embedding_scale
        angles = self._rotary.at(step.positions, step.longest)
        for index, layer in enumerate(self.layers):
            x = self._attention(x, layer, index, angles[layer.rope], step.parts, step.adapted)
            x = self._mlp(x, layer, index, step.adapted)
        return x if len(step.wanted) == len(x) else x[list(step.wanted)]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [n, vocabulary] of `hidden` [n, hidden]."""
        decoder = self._decoder
        if not len(hidden):
            return hidden.new_empty(0, len(decoder.head.weight), dtype=torch.float32)
        logits = F.linear(self.normed(hidden), decoder.head.weight).float()
        return logits if decoder.softcap is None else torch.tanh(logits / decoder.softcap) * decoder.softcap

    @torch.inference_mode()
    def normed(self, hidden: Tensor) -> Tensor:
        """What `hidden` gives as the decoder's output, on which heads are put: [n, hidden]."""
        return self._normed(hidden, self._decoder.norm)

    def _forward_single(self, single: SingleToken, segment: Segment) -> Tensor:
        row, (token,) = segment.row, segment.ids
        position = len(row.tokens)
        row.reserve(position + 1)
        adapter = None if segment.adapter is None else self.adapters[segment.adapter]
        logits = single.read(token, row, self._rotary.of(position), adapter, segment.wants_logits)
        row.tokens.append(token)
        return logits

    def span(self, row: KeyValueRow, count: int, at: int, start: int | None = None) -> Span:
        """The next tokens of a row, which lie from `at` on among those of a step; the row gets room for them.

        Args:
            start: how many tokens the row holds, where that is not as many as it remembers.
        """
        start = len(row.tokens) if start is None else start
        row.reserve(start + count)
        masks = {window: mask(start, start + count, window, self.geometry.device) for window in self.windows}
        return Span(slice(at, at + count), row, start, start + count, masks, self._decoder.attention_scale)

    def _spans(self, segments: Sequence[Segment]) -> list[Span]:
        spans, at = [], 0
        for segment in segments:
            spans.append(self.span(segment.row, len(segment.ids), at))
            at += len(segment.ids)
        return spans

    def _attention(
        self,
        x: Tensor,
        layer: FusedLayer,
        index: int,
        angles: tuple[Tensor, Tensor],
        parts: Sequence[Part],
        adapted: Sequence[tuple[slice, LoraAdapter]],
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
        mixed = x.new_empty(len(x), heads * head_dim) if len(parts) > 1 else None
        for part in parts:
            seen = part.attend(qk[part.rows, :heads], new_kv[:, part.rows], index, layer.window)
            if mixed is None:
                mixed = seen
            else:
                mixed[part.rows] = seen
        assert mixed is not None
        return self._onto(x, mixed, layer.out, layer.norm_after_attention, adapted, index, "out")

    def _mlp(self, x: Tensor, layer: FusedLayer, index: int, adapted: Sequence[tuple[slice, LoraAdapter]]) -> Tensor:
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
        adapted: Sequence[tuple[slice, LoraAdapter]],
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
    output: Tensor, inputs: Tensor, adapted: Sequence[tuple[slice, LoraAdapter]], index: int, place: str
) -> None:
    for rows, adapter in adapted:
        delta = adapter.layers[index].get(place)
        if delta is not None:
            delta.add_to(output[rows], inputs[rows])


def _rotated(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotary embedding of [tokens, heads, head_dim]; the sign of the rotated half lies in the sine."""
    halves = x.view(*x.shape[:-1], 2, -1).flip(-2).view(x.shape)
    return torch.addcmul(x * cos, halves, signed_sin)
