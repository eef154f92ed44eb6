"""The rows of a batch, whoever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from core.engine.chat_model import ChatModel
from core.engine.predicting.fused_rows import FusedRows
from core.engine.predicting.room import affordable_rows, shared_prefix, step_tokens
from core.engine.predicting.stock_rows import StockRows
from core.engine.predicting.writing import Writing


class Rows(Protocol):
    """Rows that answer together."""

    @property
    def writings(self) -> Sequence[Writing]:
        """Those that have a place now."""

    @property
    def places(self) -> int:
        """For how many rows there is room at most."""

    @property
    def has_place(self) -> bool: ...

    def join(self, writing: Writing) -> None:
        """Take a place; what is written already is read again."""

    def step(self) -> tuple[list[Writing], Tensor]:
        """Read on.

        Returns:
            the rows whose next token is to be chosen, and their float32 logits [rows, vocabulary]. Where there are
            none yet, the logits mean nothing.
        """

    def leave(self, writing: Writing) -> None: ...

    def resize(self, places: int) -> list[Writing]:
        """Have so many places. Returns who has none any more; they may join again later."""


def open_rows(chat: ChatModel, adapter: str | None, writings: Sequence[Writing], batch_size: int | None) -> Rows:
    """Rows for the answers that are to be written."""
    base, tokens = chat.base, step_tokens(chat)
    longest = max((writing.most_tokens for writing in writings), default=1)
    if base.fused is not None and chat.is_fused(adapter):
        places = batch_size or affordable_rows(base.fused.geometry, longest)
        return FusedRows(base.fused, adapter, places, tokens, shared_prefix(writings))
    places = batch_size or affordable_rows(base.stock.geometry, longest)
    return StockRows(base.stock, adapter, places if base.stock.takes_padding else 1, tokens)
