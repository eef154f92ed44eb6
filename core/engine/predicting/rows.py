"""The rows of a batch, whoever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from core.engine.chat_model import ChatModel
from core.engine.predicting.writing import Writing
from core.engine.segment import Runner, Segment

_STEP_TOKENS = 256
_MOST_ROWS = 64


class Rows(Protocol):
    """Rows that answer together."""

    @property
    def writings(self) -> Sequence[Writing]:
        """Those that have a place now."""

    @property
    def has_place(self) -> bool: ...

    def join(self, writing: Writing) -> None:
        """Take a place; what is written already is read again."""

    def step(self) -> tuple[list[Writing], Tensor]:
        """Read on.

        Returns:
            the rows whose next token is to be chosen, and their float32 logits [rows, vocabulary].
        """

    def leave(self, writing: Writing) -> None: ...

    def shrink(self, places: int) -> list[Writing]:
        """Keep so many places only. Returns who has none any more; they may join again later."""


def open_rows(chat: ChatModel, adapter: str | None, writings: Sequence[Writing], batch_size: int | None) -> Rows:
    """Rows for the answers that are to be written."""
    fused = chat.base.fused
    if fused is not None and chat.is_fused(adapter):
        return RunnerRows(fused, adapter, batch_size or _MOST_ROWS)
    return RunnerRows(chat.base.stock, adapter, 1)


class RunnerRows:
    """Rows of a chat's runner."""

    def __init__(self, runner: Runner, adapter: str | None, places: int) -> None:
        self._runner, self._adapter, self._places = runner, adapter, places
        self._rows: dict[Writing, Any] = {}
        self._unread: dict[Writing, list[int]] = {}

    @property
    def writings(self) -> Sequence[Writing]:
        return list(self._rows)

    @property
    def has_place(self) -> bool:
        return len(self._rows) < self._places

    def join(self, writing: Writing) -> None:
        self._rows[writing] = self._runner.new_row()
        self._unread[writing] = writing.unread

    def step(self) -> tuple[list[Writing], Tensor]:
        segments, waiting, left = [], [], _STEP_TOKENS
        for writing, row in sorted(self._rows.items(), key=lambda pair: len(self._unread[pair[0]])):
            unread = self._unread[writing] or writing.ids[-1:]
            ids, self._unread[writing] = unread[:left], unread[left:]
            if not ids:
                break
            left -= len(ids) if writing.ids == [] else 0
            segments.append(Segment(row, ids, self._adapter, not self._unread[writing]))
            if not self._unread[writing]:
                waiting.append(writing)
        return waiting, self._runner.forward(segments)[: len(waiting)]

    def leave(self, writing: Writing) -> None:
        del self._rows[writing], self._unread[writing]

    def shrink(self, places: int) -> list[Writing]:
        self._places = places
        gone = list(self._rows)[places:]
        for writing in gone:
            self.leave(writing)
        return gone
