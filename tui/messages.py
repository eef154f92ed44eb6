"""Messages that cross screens: who says what happened, without knowing who listens."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message

from core.chat.message import Message as Said


class ModelChosen(Message):
    """The user chose who answers next, on the Models screen or in a picker."""

    def __init__(self, model: str, adapter: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.adapter = adapter


class ComparisonChosen(Message):
    """The user wants to ask several at once: a base and what was trained on it."""

    def __init__(self, speakers: Sequence[tuple[str, str | None]], asked: Sequence[Said] = ()) -> None:
        """Args:
        speakers: (model, adapter) of each column.
        asked: what is to be asked again, with all that was said before it.
        """
        super().__init__()
        self.speakers = speakers
        self.asked = asked
