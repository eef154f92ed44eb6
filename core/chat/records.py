"""What stands in a conversation's file, one record a line.

The first line is the `Header`; below it stands what happened, in order: turns, and changes to the conversation
itself. Nothing is ever overwritten: a retried or edited message is another `Turn` with the same parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.chat.message import FinishReason, Role, Usage
from core.records import registry

SCHEMA = 1

Rating: TypeAlias = Literal["good", "bad"]


@dataclass(frozen=True, slots=True)
class Column:
    """One of the models that answer side by side; an ordinary chat has one."""

    index: int
    model: str
    adapter: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""

    schema: int
    created: float
    title: str = ""
    system: str = ""
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the tree of a conversation."""

    id: str
    parent: str | None
    """The turn that this one answers or continues; None: it opens the conversation."""
    column: int
    role: Role
    content: str
    model: str = ""
    adapter: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    created: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Activated:
    """The user walked to another branch: this turn is the end of the column's line now."""

    turn: str
    column: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A question that no model could take up: it is no part of the conversation."""

    turn: str


@dataclass(frozen=True, slots=True)
class Rated:
    turn: str
    rating: Rating | None = None


@dataclass(frozen=True, slots=True)
class Renamed:
    title: str


@dataclass(frozen=True, slots=True)
class SystemChanged:
    system: str


@dataclass(frozen=True, slots=True)
class ColumnsChanged:
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class TornLine:
    """The line above was being written when its writer was killed; it is to be passed over."""


Record: TypeAlias = Header | Turn | Activated | Withdrawn | Rated | Renamed | SystemChanged | ColumnsChanged | TornLine
RECORDS = registry(Header, Turn, Activated, Withdrawn, Rated, Renamed, SystemChanged, ColumnsChanged, TornLine)
