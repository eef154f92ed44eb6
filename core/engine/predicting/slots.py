"""Keys and values of a batch, and one attention for the next token of all its rows.

Rows differ in length; what a shorter one lacks is masked. The beginning that all prompts share lies here once, for all
rows: one product for all of them, where each would have to fetch its own copy through memory, which is what decoding
spends its time on. Keys are stored transposed, the way their product wants them (a third less time on a CPU).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.cache import Geometry, KeyValueRow

_GRAIN = 64
"""Tokens by which room grows, at least."""


class Slots:
    """Places for rows, the taken ones first.

    Args:
        prefix: what all rows begin with; may be empty.
    """

    def __init__(self, geometry: Geometry, prefix: KeyValueRow, scale: float) -> None:
        self.lengths: list[int] = []
        """Tokens of each row, the prefix not counted."""
        self.device, self.dtype = geometry.device, geometry.dtype
        self._geometry, self._scale = geometry, scale
        self.shared = len(prefix.tokens)
        self._shared_keys = [keys[:, : self.shared].transpose(1, 2).contiguous() for keys in prefix.keys]
        self._shared_values = [values[:, : self.shared].contiguous() for values in prefix.values]
        self._room = (0, 0)
        self._keys = [self._zeros(0, geometry.head_dim, 0) for _ in range(geometry.layers)]
        self._values = [self._zeros(0, 0, geometry.head_dim) for _ in range(geometry.layers)]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def positions(self) -> list[int]:
        """Where each row's next token stands in its text."""
        return [self.shared + length for length in self.lengths]

    def _zeros(self, rows: int, *shape: int) -> Tensor:
        """Zeros, not whatever is there: a masked number counts nothing times what it is, and NaN would stay NaN."""
        g = self._geometry
        return torch.zeros(rows, g.kv_heads, *shape, dtype=g.dtype, device=g.device)

    def reserve(self, rows: int, length: int) -> None:
        """Make room, layer by layer, so that little lies there twice. What ran out of memory half way can go on.

        Args:
            length: tokens of a row, the shared ones not counted.
        """
        have_rows, have_length = self._room
        if rows <= have_rows and length <= have_length:
            return
        if length > have_length:
            length = -(-max(length, have_length * 3 // 2) // _GRAIN) * _GRAIN
        self._rebuild(max(rows, have_rows), max(length, have_length))

    def _rebuild(self, rows: int, length: int) -> None:
        head_dim = self._geometry.head_dim
        for index in range(self._geometry.layers):
            old, keys = self._keys[index][:rows], self._zeros(rows, head_dim, length)
            keys[: len(old), :, :, : old.shape[3]] = old
            self._keys[index] = keys
            old, values = self._values[index][:rows], self._zeros(rows, length, head_dim)
            values[: len(old), :, : old.shape[2]] = old
            self._values[index] = values
        self._room = (rows, length)

    def add(self, row: KeyValueRow) -> None:
        """Take over a row that was read by itself, behind the others; there has to be room."""
        place, begin, end = len(self.lengths), self.shared, len(row.tokens)
        for index in range(self._geometry.layers):
            self._keys[index][place, :, :, : end - begin] = row.keys[index][:, begin:end].transpose(1, 2)
            self._values[index][place, :, : end - begin] = row.values[index][:, begin:end]
        self.lengths.append(end - begin)

    def remove(self, place: int) -> None:
        """Free a place; the last row moves there."""
        last, length = len(self.lengths) - 1, self.lengths[place]
        for keys, values in zip(self._keys, self._values, strict=True):
            keys[place, :, :, :length] = 0  # NaN of a row that broke down must not reach the next one here
            values[place, :, :length] = 0
            if place < last:
                keys[place, :, :, : self.lengths[last]] = keys[last, :, :, : self.lengths[last]]
                values[place, :, : self.lengths[last]] = values[last, :, : self.lengths[last]]
        self.lengths[place] = self.lengths[last]
        self.lengths.pop()

    def keep(self, places: int) -> None:
        """Forget all rows but the first, and give their memory back."""
        del self.lengths[places:]
        self._rebuild(min(places, self._room[0]), self._room[1])

    def next_tokens(self, windows: set[int | None]) -> NextTokens:
        """The attention of one more token of every row, for which there has to be room; see `grow`."""
        return NextTokens(self, windows)

    def grow(self) -> None:
        """The tokens of `next_tokens` have been read."""
        self.lengths = [length + 1 for length in self.lengths]

    def attend(self, query: Tensor, key_value: Tensor, index: int, view: View, at: tuple[Tensor, Tensor]) -> Tensor:
        """Store and attend; see `Part.attend`.

        Args:
            at: int64 [rows] twice: the places, and which of their tokens this is.
        """
        rows, kv_heads, head_dim = len(query), len(key_value) // 2, query.shape[-1]
        keys, values = self._keys[index], self._values[index]
        keys[at[0], :, :, at[1]] = key_value[:kv_heads].transpose(0, 1)
        values[at[0], :, at[1]] = key_value[kv_heads:].transpose(0, 1)
        keys, values = keys[:rows].flatten(0, 1)[..., view.own], values[:rows].flatten(0, 1)[:, view.own]
        query = (query * self._scale).view(rows, kv_heads, -1, head_dim)  # the query heads of one key head
        scores = torch.bmm(query.flatten(0, 1), keys).view(rows, kv_heads, query.shape[2], -1)
        if view.shared:
            by_head = query.transpose(0, 1).flatten(1, 2)
            before = torch.bmm(by_head, self._shared_keys[index]).view(kv_heads, rows, -1, view.shared)
            scores = torch.cat((before.transpose(0, 1), scores), -1)
        if view.mask is not None:
            scores += view.mask
        weights = scores.softmax(-1, dtype=torch.float32).to(scores.dtype)
        mixed = torch.bmm(weights[..., view.shared :].flatten(0, 1), values).view_as(query)
        if view.shared:
            by_head = weights[..., : view.shared].transpose(0, 1).flatten(1, 2)
            before = torch.bmm(by_head, self._shared_values[index]).view(kv_heads, rows, -1, head_dim)
            mixed += before.transpose(0, 1)
        return mixed.reshape(rows, -1)


@dataclass(frozen=True, slots=True)
class View:
    """What the next tokens see under a window."""

    shared: int
    """How many tokens of the shared beginning: all or none."""
    own: slice
    """Which of their rows' own."""
    mask: Tensor | None
    """Added to the scores, [rows, 1, 1, shared + own]; None: all of these are seen."""


class NextTokens:
    """One token of each row of `Slots`, in their order, as a part of a step (`core.engine.span.Part`)."""

    def __init__(self, slots: Slots, windows: set[int | None]) -> None:
        self.rows = slice(0, len(slots))
        self._slots = slots
        lengths = torch.tensor(slots.lengths, device=slots.device)
        self._at = (torch.arange(len(slots), device=slots.device), lengths)
        self._views = {window: self._view(window) for window in windows}

    def attend(self, query: Tensor, key_value: Tensor, index: int, window: int | None) -> Tensor:
        """See `Part.attend`."""
        return self._slots.attend(query, key_value, index, self._views[window], self._at)

    def _view(self, window: int | None) -> View:
        slots = self._slots
        positions, longest = slots.positions, max(slots.positions)
        begin = 0 if window is None else max(0, min(positions) + 1 - window)
        shared = slots.shared if begin < slots.shared else 0
        first = 0 if shared else begin
        own = slice(max(0, first - slots.shared), longest + 1 - slots.shared)
        if min(positions) == longest and (window is None or longest + 1 - first <= window):
            return View(shared, own, None)
        column = torch.arange(first, longest + 1, device=slots.device)
        position = torch.tensor(positions, device=slots.device)[:, None]
        hidden = column > position
        if window is not None:
            hidden |= column <= position - window
        mask = torch.zeros(hidden.shape, dtype=slots.dtype, device=slots.device).masked_fill_(hidden, -torch.inf)
        return View(shared, own, mask[:, None, None])
