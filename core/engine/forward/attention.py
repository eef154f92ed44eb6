"""Attention over a line of rows, as an implementation that transformers' models can be switched to.

The line's layout arrives as an argument of the forward, which the families in `families.py` hand down to attention;
nothing is global, and gradient checkpointing sees it again. A forward without a layout (an answer to a probe prompt,
with its cache) gets transformers' own attention. A layout that got lost on its way would let rows see one another in
silence, so a forward that has one says so by a mask of one element, which is refused where no layout comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from core.engine.forward.ragged import Group, Ragged
from core.engine.forward.short_rows import LONGEST, attend_short

IMPLEMENTATION = "finetui_ragged"


@dataclass(frozen=True)
class Manner:
    """How a layer attends."""

    dropout: float = 0.0
    scaling: float | None = None
    """Of the logits; None: 1 / √size."""
    window: int | None = None
    """How many tokens back are seen, the token itself counted; None: all."""
    softcap: float | None = None
    """The logits stay within ± this."""


def no_mask(device: torch.device) -> Tensor:
    """Stands for "a layout is on its way": four dimensions, so that transformers makes no mask of its own."""
    return torch.zeros(1, 1, 1, 1, device=device)


def ragged_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    ragged: Ragged | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Transformers' signature: query [1, heads, tokens, size], key and value [1, kv_heads, tokens, size].

    Returns:
        [1, tokens, heads, size].
    """
    if ragged is not None:
        return attend(ragged, query, key, value, Manner(dropout, scaling, sliding_window, softcap)), None
    if attention_mask is not None and attention_mask.numel() == 1 and key.shape[2] > 1:
        raise RuntimeError(f"{type(module).__name__} does not hand the layout of its rows on")
    if softcap is not None:
        output = _attend_capped(query, key, value, attention_mask, Manner(dropout, scaling, None, softcap))
        return output.transpose(1, 2).contiguous(), None
    options |= {"dropout": dropout, "scaling": scaling, "sliding_window": sliding_window}
    output, _weights = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return output, None


AttentionInterface.register(IMPLEMENTATION, ragged_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)


def attend(ragged: Ragged, query: Tensor, key: Tensor, value: Tensor, manner: Manner) -> Tensor:
    """Each row attends to what its family shares and to its own; shapes as in `ragged_attention`."""
    if _is_short(ragged, query, manner):
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        scaling = query.shape[-1] ** -0.5 if manner.scaling is None else manner.scaling
        return attend_short(ragged, q, k, v, scaling, manner.window)[None]
    sections = [sum(group.lengths) for group in ragged.parts]
    parts = [torch.split(x, sections, 2) for x in (query, key, value)]
    openings: dict[int, tuple[Tensor, Tensor]] = {}
    outputs = []
    for number, group in enumerate(ragged.parts):
        rows, *own = (_rows(part[number][0], group) for part in parts)
        if number < len(ragged.shared):
            pieces = zip(*(torch.split(part[number], list(group.lengths), 2) for part in parts[1:]), strict=True)
            openings |= zip(group.starts, pieces, strict=True)
        if group.before:
            own = [_behind(shared, x) for shared, x in zip(openings[group.opening], own, strict=True)]
        mask = None
        if group.before or ragged.is_cut(group.longest, manner.window):
            mask = ragged.mask(group.before, group.longest, manner.window, query.dtype)
        outputs.append(_line(_attend(rows, own[0], own[1], mask, manner), group))
    return torch.cat(outputs)[None] if len(outputs) > 1 else outputs[0][None]


def _is_short(ragged: Ragged, query: Tensor, manner: Manner) -> bool:
    longest = max(group.before + group.longest for group in ragged.parts)
    return query.device.type == "cpu" and longest <= LONGEST and not manner.dropout and manner.softcap is None


def _rows(x: Tensor, group: Group) -> Tensor:
    """[heads, tokens of the group, size] → [rows, heads, longest, size]"""
    if group.spread is not None and group.gathered is not None:
        x = reordered(x, group.spread, group.gathered)
    return x.reshape(len(x), len(group.lengths), group.longest, x.shape[-1]).transpose(0, 1)


def _line(x: Tensor, group: Group) -> Tensor:
    """[rows, heads, longest, size] → [tokens of the group, heads, size]"""
    line = x.transpose(1, 2).flatten(0, 1)
    return line if group.gathered is None else line.index_select(0, group.gathered)


def _behind(shared: Tensor, rows: Tensor) -> Tensor:
    """[1, heads, shared, size], [rows, heads, longest, size] → [rows, heads, shared + longest, size]"""
    return torch.cat((shared.expand(len(rows), -1, -1, -1), rows), 2)


def reordered(x: Tensor, spread: Tensor, gathered: Tensor) -> Tensor:
    """Tokens of [heads, tokens, size] at the places `spread`; see `Group`."""
    output: Tensor = _Reordered.apply(x, spread, gathered)  # type: ignore[no-untyped-call]
    return output


class _Reordered(torch.autograd.Function):
    """Tokens of [heads, tokens, size] at places below one another; places of padding get no gradient.

    A gather back and forth. Autograd's own backward of index_select adds up, one thread, one token after another.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, spread: Tensor, gathered: Tensor) -> Tensor:
        ctx.save_for_backward(gathered)
        return x.index_select(1, spread)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (gathered,) = ctx.saved_tensors
        return gradient.index_select(1, gathered), None, None


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, manner: Manner) -> Tensor:
    """[rows, heads, queries, size], causal where there is no mask."""
    if manner.softcap is not None:
        return _attend_capped(query, key, value, mask, manner)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=manner.dropout,
        is_causal=mask is None,
        scale=manner.scaling,
        enable_gqa=True,
    )


def _attend_capped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, manner: Manner) -> Tensor:
    """Attention whose logits stay within ±`softcap` (Gemma 2), which no kernel of torch knows."""
    assert manner.softcap is not None
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    logits = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if manner.scaling is None else manner.scaling)
    logits = torch.tanh(logits / manner.softcap) * manner.softcap
    if mask is None:
        seen = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        logits = logits.masked_fill(~seen, float("-inf"))
    else:
        logits = logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
    weights = F.dropout(torch.softmax(logits, -1, dtype=torch.float32).to(query.dtype), manner.dropout)
    return weights @ value
