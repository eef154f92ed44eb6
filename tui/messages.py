"""Messages that cross screens: who says what happened, without knowing who listens."""

from __future__ import annotations

from textual.message import Message


class ModelChosen(Message):
    """The user chose who answers next, on the Models screen or in a picker."""

    def __init__(self, model: str, adapter: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.adapter = adapter
