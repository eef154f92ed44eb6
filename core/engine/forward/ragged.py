"""Rows end to end in one long line, without padding; leading tokens that the rows of a family share stand there once.

The line opens with what families share, then come the rows' rests, longest first. Everything that looks at one token at
a time (norms, projections, MLPs) works on the line as it is. Only attention needs to know where rows begin: rows of
similar length form a group, which attends in one call, each row seeing what its family shares and its own. What is
shared attends like rows of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from core.engine.batches.batch import Batch, EncodedRow, common_prefix

_LEAST_FILL = 0.8
"""A row shorter than this share of its group's longest opens a group of its own: attention's padding costs more."""


@dataclass(frozen=True)
class Group:
    """Rows that attend in one call: tokens `start` … `stop` − 1 of the line."""

    start: int
    lengths: tuple[int, ...]
    """Of the rows' rests, longest first."""
    spread: Tensor | None
    """int64 [rows · longest]: the token of the group for each place of the rows below one another; None where all are
    equally long. Places behind a row's end repeat its last token: nobody sees them and they get no gradient."""
    gathered: Tensor | None
    """int64 [tokens]: the place of each token of the group, `spread` turned round."""
    stands: Tensor | None = None
    """bool [rows · longest]: whether the place is a token's, not behind a row's end."""
    opening: int = 0
    """Where the tokens begin that all rows of the group share."""
    before: int = 0
    """How many these are; each row sees them before its own."""

    @property
    def stop(self) -> int:
        return self.start + sum(self.lengths)

    @property
    def longest(self) -> int:
        return self.lengths[0]

    @property
    def starts(self) -> list[int]:
        """Where the rows begin in the line."""
        return list(accumulate(self.lengths[:-1], initial=self.start))


@dataclass(frozen=True)
class Ragged:
    """A batch as one line of tokens."""

    ids: Tensor
    """int64 [1, tokens]"""
    positions: Tensor
    """int64 [1, tokens]: where a token stands in its row."""
    shared: tuple[Group, ...]
    """What the rows of families share, as rows that attend; the line opens with them."""
    groups: tuple[Group, ...]
    """The rests of the rows; a group is of one family, or of rows that share nothing."""
    predicting: Tensor
    """int64 [targets]: tokens of the line from which a target is predicted."""
    targets: Tensor
    """int64 [targets]"""
    in_order: Tensor
    """int64 [targets]: which targets are those of the batch's first row, of its second …"""
    rows: Tensor
    """int64 [targets]: the rows of the batch that they are of, taken in that order."""
    ends: Tensor
    """int64 [rows]: the last token of each row of the batch."""

    @property
    def parts(self) -> tuple[Group, ...]:
        """Everything that attends, in the order of the line."""
        return (*self.shared, *self.groups)

    _masks: dict[tuple[int, int, int | None, torch.dtype], Tensor] = field(default_factory=dict)

    def mask(self, before: int, length: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """Who sees whom: float [length, before + length], 0 or −∞.

        Args:
            before: tokens that stand before the first query.
            length: queries.
            window: how many tokens back are seen, the token itself counted; None: all.
            dtype: of the queries.
        """
        key = (before, length, window if self.is_cut(before + length, window) else None, dtype)
        if key not in self._masks:
            self._masks[key] = _mask(*key, self.ids.device)
        return self._masks[key]

    def is_cut(self, length: int, window: int | None) -> bool:
        """Whether a row of this length is longer than what its last token sees."""
        return window is not None and window < length


def _mask(before: int, length: int, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    query = torch.arange(before, before + length, device=device)[:, None]
    key = torch.arange(before + length, device=device)[None]
    seen = key <= query
    if window is not None:
        seen &= key > query - window
    return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, float("-inf"))


@dataclass(frozen=True)
class _Piece:
    """A row's tokens from `begin` on, up to its end or to where its family parts."""

    row: int
    begin: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.begin


def lay_out(batch: Batch, *, share: bool, device: torch.device) -> Ragged:
    """The line of a batch.

    Args:
        batch: what is computed.
        share: whether leading tokens that the rows of a family have in common stand there once.
        device: of the tensors.
    """
    shared, families = _pieces(batch, share)
    pieces = [*shared, *(piece for family in families for piece in family)]
    starts = np.concatenate(([0], np.cumsum([piece.length for piece in pieces])[:-1])).astype(np.int64).tolist()
    openings = {piece.row: start for piece, start in zip(shared, starts[: len(shared)], strict=True)}
    groups: list[Group] = []
    ends = np.zeros(len(batch.rows), np.int64)
    predicting, order = [], []
    at = len(shared)
    for family in families:
        opening = openings.get(min(piece.row for piece in family), 0) if family[0].begin else 0
        lengths = [piece.length for piece in family]
        groups += _groups(lengths, starts[at], device, opening, family[0].begin)
        for piece in family:
            ends[piece.row] = starts[at] + piece.length - 1
            predicting.append(_predicting(batch.rows[piece.row], starts[at], piece.begin, opening))
            order.append(piece.row)
            at += 1
    rows = np.repeat(order, [len(places) for places in predicting]).astype(np.int64)
    in_order = np.argsort(rows, kind="stable")
    return Ragged(
        ids=_on(np.concatenate([batch.rows[piece.row].ids[piece.begin : piece.end] for piece in pieces]), device)[None],
        positions=_on(np.concatenate([np.arange(piece.begin, piece.end) for piece in pieces]), device)[None],
        shared=tuple(_groups([piece.length for piece in shared], 0, device)),
        groups=tuple(groups),
        predicting=_on(np.concatenate(predicting), device),
        targets=_on(np.concatenate([batch.rows[n].ids[1:][batch.rows[n].trained[1:]] for n in order]), device),
        in_order=_on(in_order, device),
        rows=_on(rows[in_order], device),
        ends=_on(ends, device),
    )


def _pieces(batch: Batch, share: bool) -> tuple[list[_Piece], list[list[_Piece]]]:
    """What families share, and the rows' rests family by family; rows that share nothing come first, together."""
    shared: list[_Piece] = []
    families: list[list[_Piece]] = []
    alone: list[_Piece] = []
    for numbers in batch.kin:
        rows = [batch.rows[number] for number in numbers]
        length = common_prefix(rows) if share and len(rows) > 1 else 0
        rests = [_Piece(n, length, len(row.ids)) for n, row in zip(numbers, rows, strict=True)]
        if length:
            shared.append(_Piece(min(numbers), 0, length))
            families.append(_longest_first(rests))
        else:
            alone += rests
    return _longest_first(shared), ([_longest_first(alone)] if alone else []) + families


def _longest_first(pieces: list[_Piece]) -> list[_Piece]:
    return sorted(pieces, key=lambda piece: -piece.length)


def _predicting(
    row: EncodedRow, start: int, shared: int, opening: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Where in the line the row's tokens stand whose successors bear loss; the last shared one may be among them."""
    before = np.flatnonzero(row.trained[1:])
    return np.where(before < shared, before + opening, before - shared + start)


def _on(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _groups(lengths: Sequence[int], start: int, device: torch.device, opening: int = 0, before: int = 0) -> list[Group]:
    groups, at = list[Group](), 0
    while at < len(lengths):
        end = at
        while end < len(lengths) and lengths[end] >= _LEAST_FILL * lengths[at]:
            end += 1
        group = _group(tuple(lengths[at:end]), start, device)
        groups.append(replace(group, opening=opening, before=before))
        start, at = groups[-1].stop, end
    return groups


def _group(lengths: tuple[int, ...], start: int, device: torch.device) -> Group:
    if lengths[-1] == lengths[0]:
        return Group(start, lengths, None, None)
    longest = lengths[0]
    first = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    spread = [begin + np.minimum(np.arange(longest), length - 1) for begin, length in zip(first, lengths, strict=True)]
    gathered = [row * longest + np.arange(length) for row, length in enumerate(lengths)]
    stands = np.arange(longest)[None] < np.array(lengths)[:, None]
    return Group(
        start,
        lengths,
        _on(np.concatenate(spread), device),
        _on(np.concatenate(gathered), device),
        torch.from_numpy(stands.reshape(-1)).to(device),
    )
