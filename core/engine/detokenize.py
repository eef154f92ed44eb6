"""Token ids to text as they come: never half a character, never the beginning of a stop string.

Decoding all ids again for every token would be quadratic. Only a short window is decoded: the tokens since the last
whole character, behind the few characters before them, which some decoders need to see (a leading space is dropped only
at the very beginning of a text). The window begins between two characters: a decoder with byte tokens takes a run of
them as a whole, and half a character in front would break all that follows in the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

_REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER = 16
"""Tokens without a whole character after which the bytes are taken for broken, not for unfinished."""
_CONTEXT = 4
"""Groups of tokens that together were whole characters."""


class Detokenizer:
    """The text of a growing list of ids, each `push` in constant time.

    What an answer ends in the middle of is never shown: half a character is no text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._groups: deque[list[int]] = deque(maxlen=_CONTEXT)
        self._pending: list[int] = []
        self._has_begun = False
        self._emitted = ""
        """The text of context and pending that has been given out."""

    def push(self, token: int) -> str:
        """The text that this token makes certain; may be empty."""
        self._pending.append(token)
        text = self._decode(self._context + self._pending)
        if text.endswith(_REPLACEMENT) and len(self._pending) < _LONGEST_CHARACTER:
            return self._give(text.rstrip(_REPLACEMENT))
        new = self._give(text)
        if new or not self._has_begun:  # later on, a token without text would only push text out of the window
            self._groups.append(self._pending)
        self._has_begun = self._has_begun or bool(new)
        self._pending = []
        self._emitted = self._decode(self._context)
        return new

    @property
    def _context(self) -> list[int]:
        return [token for group in self._groups for token in group]

    def _give(self, text: str) -> str:
        if len(text) <= len(self._emitted):
            return ""
        new = text[len(self._emitted) :]
        self._emitted = text
        return new


class StopStrings:
    """Cuts a stream of text before the first of some strings; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """The text that is certainly part of the answer."""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.hit = True
            safe = self._held[: min(found)]
            self._held = ""
            return safe
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        split = len(self._held) - keep
        safe, self._held = self._held[:split], self._held[split:]
        return safe

    def flush(self) -> str:
        """What was held back, at the end of the answer: it was no stop string after all."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
