"""Attention over short rows on a CPU: plain products, with gradients written by hand.

Up to some 256 tokens a row the products with all weights held are as fast as a kernel that never holds them, and with
bfloat16's matrix units several times faster. Heads that share keys and values become one product, and the gradient
needs no second look at the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.engine.forward.ragged import Group, Ragged

LONGEST = 256
"""Tokens of a row. Beyond, the weights take more memory than the rest of the layer."""


def attend_short(
    ragged: Ragged, query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int | None
) -> Tensor:
    """Each row attends to what its family shares and to its own.

    Args:
        ragged: where rows stand in the line.
        query: [tokens, heads, size]
        key: [tokens, kv_heads, size]
        value: as key.
        scaling: of the logits.
        window: how many tokens back are seen, the token itself counted; None: all.

    Returns:
        [tokens, heads, size]
    """
    device = query.device.type
    if torch.is_autocast_enabled(device):
        query, key, value = (x.to(torch.get_autocast_dtype(device)) for x in (query, key, value))
    with torch.autocast(device, enabled=False):  # its backward would not know of it
        output: Tensor = _ShortRows.apply(query, key, value, ragged, scaling, window)  # type: ignore[no-untyped-call]
    return output


class _ShortRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, ragged: Ragged, scaling: float, window: int | None
    ) -> Tensor:
        output, saved = torch.empty_like(query), []
        for group in ragged.parts:
            rows = _below(query, group, key.shape[1])
            shared = slice(group.opening, group.opening + group.before)
            keys = _behind(key[shared], _below(key, group, key.shape[1]))
            values = _behind(value[shared], _below(value, group, key.shape[1]))
            logits = _wide(torch.matmul(rows, keys.transpose(-1, -2))).mul_(scaling)
            mask = ragged.mask(group.before, group.longest, window, logits.dtype)
            heads = query.shape[1] // key.shape[1]
            logits.view(*logits.shape[:2], heads, group.longest, -1).add_(mask)
            weights = torch.softmax(logits, -1).to(query.dtype)
            _write(torch.matmul(weights, values), group, output)
            saved += [rows, keys, values, weights]
        ctx.save_for_backward(*saved)
        ctx.ragged, ctx.scaling, ctx.shapes = ragged, scaling, (query.shape, key.shape)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        query_shape, key_shape = ctx.shapes
        of_query, of_key, of_value = (gradient.new_empty(shape) for shape in (query_shape, key_shape, key_shape))
        ragged: Ragged = ctx.ragged
        from_rows: list[tuple[slice, Tensor, Tensor]] = []
        saved = ctx.saved_tensors  # once: checkpointing computes them anew and hands them out a single time
        for number, group in reversed(list(enumerate(ragged.parts))):
            before = group.before
            rows, keys, values, weights = saved[4 * number : 4 * number + 4]
            given = _below(gradient, group, key_shape[1], zero_padding=True)
            values_gradient = torch.matmul(weights.transpose(-1, -2), given)
            weights_gradient = torch.matmul(given, values.transpose(-1, -2))
            logits_gradient = torch._softmax_backward_data(weights_gradient, weights, -1, weights.dtype)
            logits_gradient = logits_gradient.mul_(ctx.scaling)
            keys_gradient = torch.matmul(logits_gradient.transpose(-1, -2), rows)
            _write(torch.matmul(logits_gradient, keys), group, of_query)
            _write(keys_gradient[:, :, before:], group, of_key)
            _write(values_gradient[:, :, before:], group, of_value)
            if before:
                shared = slice(group.opening, group.opening + before)
                from_rows.append((shared, keys_gradient[:, :, :before].sum(0), values_gradient[:, :, :before].sum(0)))
        for shared, of_shared_key, of_shared_value in from_rows:  # behind all others: what is shared attends too
            of_key[shared].add_(of_shared_key.transpose(0, 1))
            of_value[shared].add_(of_shared_value.transpose(0, 1))
        return of_query, of_key, of_value, None, None, None


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype.itemsize < 4 else x


def _below(x: Tensor, group: Group, kv_heads: int, *, zero_padding: bool = False) -> Tensor:
    """[line, heads, size] → [rows, kv_heads, heads / kv_heads · longest, size]"""
    part = x[group.start : group.stop]
    if group.spread is not None:
        part = part.index_select(0, group.spread)
        if zero_padding and group.stands is not None:
            part = part.mul_(group.stands[:, None, None])
    part = part.view(len(group.lengths), group.longest, kv_heads, -1, x.shape[-1])
    return part.permute(0, 2, 3, 1, 4).reshape(len(group.lengths), kv_heads, -1, x.shape[-1])


def _behind(shared: Tensor, rows: Tensor) -> Tensor:
    """[shared, heads, size], [rows, heads, longest, size] → [rows, heads, shared + longest, size]"""
    if not len(shared):
        return rows
    return torch.cat((shared.transpose(0, 1).expand(len(rows), -1, -1, -1), rows), 2)


def _write(x: Tensor, group: Group, line: Tensor) -> None:
    """[rows, kv_heads, heads / kv_heads · longest, size] to its place in a line, [line, heads, size]"""
    rows, kv_heads, _queries, size = x.shape
    below = x.reshape(rows, kv_heads, -1, group.longest, size).permute(0, 3, 1, 2, 4)
    place = line[group.start : group.stop]
    if group.gathered is None:
        place.view(below.shape).copy_(below)
    else:
        torch.index_select(below.reshape(-1, line.shape[1], size), 0, group.gathered, out=place)
