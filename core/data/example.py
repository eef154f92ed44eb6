"""The one type that every format of data ends in."""

from __future__ import annotations

from dataclasses import dataclass

from core.chat.message import Message


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn from; the last message is the assistant's."""

    messages: tuple[Message, ...]
    weights: tuple[float, ...] = ()
    """For each message whether its text is trained: 1 or 0. Empty: 1 for the assistant's, 0 for the others'."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A conversation up to a question, and two answers of which the first is the better one."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation up to a question, whose answer the model gives itself."""

    messages: tuple[Message, ...]
