"""Rows end to end in one long line, without padding; leading tokens that all rows share stand there once.

The line opens with the shared tokens, then come the rows' rests, longest first. Everything that looks at one token at a
time (norms, projections, MLPs) works on the line as it is. Only attention needs to know where rows begin: rows of
similar length form a group, which attends in one call, each row seeing the shared tokens and its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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

    @property
    def stop(self) -> int:
        return self.start + sum(self.lengths)

    @property
    def longest(self) -> int:
        return self.lengths[0]


@dataclass(frozen=True)
class Ragged:
    """A batch as one line of tokens."""

    ids: Tensor
    """int64 [1, tokens]"""
    positions: Tensor
    """int64 [1, tokens]: where a token stands in its row."""
    shared: int
    """How many tokens the line opens with that all rows share."""
    groups: tuple[Group, ...]
    predicting: Tensor
    """int64 [targets]: tokens of the line from which a target is predicted."""
    targets: Tensor
    """int64 [targets]"""

    @property
    def sections(self) -> list[int]:
        """Tokens of the line: those that are shared, then of each group."""
        return [self.shared, *(sum(group.lengths) for group in self.groups)]

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


def lay_out(batch: Batch, *, share: bool, device: torch.device) -> Ragged:
    """The line of a batch.

    Args:
        batch: what is computed.
        share: whether leading tokens that all rows have in common stand there once.
        device: of the tensors.
    """
    shared = common_prefix(batch.rows) if share and len(batch.rows) > 1 and len(batch.kin) == 1 else 0
    rows = sorted(batch.rows, key=lambda row: -len(row.ids))
    lengths = [len(row.ids) - shared for row in rows]
    starts = shared + np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
    predicting = [_predicting(row, int(start), shared) for row, start in zip(rows, starts, strict=True)]
    line = [rows[0].ids[:shared], *(row.ids[shared:] for row in rows)]
    positions = [np.arange(shared), *(np.arange(shared, shared + length) for length in lengths)]
    return Ragged(
        ids=_on(np.concatenate(line), device)[None],
        positions=_on(np.concatenate(positions), device)[None],
        shared=shared,
        groups=tuple(_groups(lengths, shared, device)),
        predicting=_on(np.concatenate(predicting), device),
        targets=_on(np.concatenate([row.ids[1:][row.trained[1:]] for row in rows]), device),
    )


def _predicting(row: EncodedRow, start: int, shared: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Where in the line the row's tokens stand whose successors bear loss; the last shared one may be among them."""
    before = np.flatnonzero(row.trained[1:])
    return np.where(before < shared, before, before - shared + start)


def _on(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _groups(lengths: Sequence[int], start: int, device: torch.device) -> list[Group]:
    groups, at = [], 0
    while at < len(lengths):
        end = at
        while end < len(lengths) and lengths[end] >= _LEAST_FILL * lengths[at]:
            end += 1
        groups.append(_group(tuple(lengths[at:end]), start, device))
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
