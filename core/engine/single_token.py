"""One token of one conversation, in float32 on a CPU: the step that chatting on a CPU consists of.

The weights have to come through memory once, which takes most of the time; what is left to save is the overhead of a
thousand small operations. So this step is written with vectors instead of matrices (a matrix times a vector is 4 %
faster than a product with one row), a norm of three operations (the library's has ten) and views made beforehand.
The arithmetic is that of `core.engine.fused`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.engine.cache import KeyValueRow
from core.engine.fused_layer import FusedDecoder, FusedLayer, FusedLinear
from core.engine.lora import LoraAdapter, LoraDelta


class SingleToken:
    """Reads one token into one row."""

    def __init__(self, decoder: FusedDecoder) -> None:
        self._decoder = decoder
        self._nothing = torch.zeros(1)
        self._no_deltas: dict[str, LoraDelta] = {}
        self._halves = (decoder.heads + decoder.kv_heads, 2, decoder.head_dim // 2)

    def read(
        self,
        token: int,
        row: KeyValueRow,
        angles: Mapping[str, tuple[Tensor, Tensor]],
        adapter: LoraAdapter | None,
        wants_logits: bool,
    ) -> Tensor:
        """Read a token behind those of the row, which has room for it.

        Returns:
            logits [1 or 0, vocabulary].
        """
        decoder = self._decoder
        x = decoder.embedding[token]
        if decoder.embedding_scale is not None:
            x = x * decoder.embedding_scale
        for index, layer in enumerate(decoder.layers):
            deltas = self._no_deltas if adapter is None else adapter.layers[index]
            x = self._attention(x, layer, row, index, angles[layer.rope], deltas)
            x = self._mlp(x, layer, deltas)
        if not wants_logits:
            return x.new_empty(0, len(decoder.head.weight))
        logits = torch.mv(decoder.head.weight, self._normed(x, decoder.norm))
        if decoder.softcap is not None:
            logits = torch.tanh(logits / decoder.softcap) * decoder.softcap
        return logits[None]

    def _attention(
        self,
        x: Tensor,
        layer: FusedLayer,
        row: KeyValueRow,
        index: int,
        angles: tuple[Tensor, Tensor],
        deltas: Mapping[str, LoraDelta],
    ) -> Tensor:
        decoder = self._decoder
        kv_heads, head_dim = decoder.kv_heads, decoder.head_dim
        qkv = _project(self._normed(x, layer.norm_before_attention), layer.qkv, deltas.get("qkv"))
        qkv = qkv.view(-1, head_dim)
        qk, value = qkv[:-kv_heads], qkv[-kv_heads:]
        if layer.norm_of_heads is not None:
            qk = self._heads_normed(qk, layer.norm_of_heads)
        cos, signed_sin = angles
        turned = qk.view(self._halves).flip(1).view(-1, head_dim)
        qk = torch.addcmul(qk * cos, turned, signed_sin)
        keys, values = row.keys[index], row.values[index]
        position = len(row.tokens)
        keys.select(1, position).copy_(qk[-kv_heads:])
        values.select(1, position).copy_(value)
        first = 0 if layer.window is None else max(0, position + 1 - layer.window)
        seen = position + 1 - first
        query = qk[:-kv_heads].view(kv_heads, -1, head_dim)  # the query heads of one key head are its batch
        keys = keys.narrow(1, first, seen).transpose(1, 2)
        weights = torch.baddbmm(self._nothing, query, keys, beta=0, alpha=decoder.attention_scale).softmax(-1)
        mixed = torch.bmm(weights, values.narrow(1, first, seen)).view(-1)
        return self._onto(x, mixed, layer.out, layer.norm_after_attention, deltas.get("out"))

    def _mlp(self, x: Tensor, layer: FusedLayer, deltas: Mapping[str, LoraDelta]) -> Tensor:
        both = _project(self._normed(x, layer.norm_before_mlp), layer.gate_up, deltas.get("gate_up"))
        gate, up = both.chunk(2)
        inner = self._decoder.activation(gate).mul_(up)
        return self._onto(x, inner, layer.down, layer.norm_after_mlp, deltas.get("down"))

    def _onto(
        self, x: Tensor, inputs: Tensor, linear: FusedLinear, norm: Tensor | None, delta: LoraDelta | None
    ) -> Tensor:
        """The residual stream plus a projection."""
        if norm is None and linear.bias is None and delta is None:
            return torch.addmv(x, linear.weight, inputs)
        output = _project(inputs, linear, delta)
        return x + (output if norm is None else self._normed(output, norm))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        mean_square = float(torch.dot(x, x)) / len(x)
        return (x * weight).mul_((mean_square + self._decoder.epsilon) ** -0.5)

    def _heads_normed(self, x: Tensor, weight: Tensor) -> Tensor:
        mean_square = x.square().mean(-1, keepdim=True)
        return (x * weight).mul_(mean_square.add_(self._decoder.epsilon).rsqrt_())


def _project(x: Tensor, linear: FusedLinear, delta: LoraDelta | None) -> Tensor:
    weight, bias = linear.weight, linear.bias
    output = torch.mv(weight, x) if bias is None else torch.addmv(bias, weight, x)
    if delta is not None:
        delta.add_to(output[None], x[None])
    return output
