"""One message of a conversation, in the words of every chat format: who said what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a model sees it.

    `content` is the whole text; for an assistant it may open with `<think>…</think>`, which is left out of the
    history that later turns are rendered from.
    """

    role: Role
    content: str
