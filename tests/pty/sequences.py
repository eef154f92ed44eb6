"""What a program writes to a terminal, cut into text, controls and escape sequences."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "control", "csi", "osc", "string", "escape"]

_TOKEN = re.compile(
    r"(?P<csi>\x1b\[[0-?]*[ -/]*[@-~])"
    r"|(?P<osc>\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c))"
    r"|(?P<string>\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c))"  # device control, privacy and application strings
    r"|(?P<escape>\x1b[ -/]*[0-OQ-WYZ\\`-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])"
    r"|(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\x9c]*\x1b?|[PX^_][^\x1b\x9c]*\x1b?|[ -/]*)\Z")


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str

    def parameters(self) -> tuple[int, ...]:
        """The numbers of a CSI sequence."""
        return tuple(int(number) for number in re.findall(r"\d+", self.text))


class Tokenizer:
    """Feeds on bytes as they come; what is cut in the middle waits for its rest."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes) -> Iterator[Token]:
        text, position = self._rest + self._decode(data), 0
        self._rest = ""
        while position < len(text):
            if match := _TOKEN.match(text, position):
                position = match.end()
                yield Token(match.lastgroup, match.group())  # type: ignore[arg-type]
            elif _UNFINISHED.match(text, position):
                self._rest = text[position:]
                return
            else:
                position += 1
                yield Token("control", "\x1b")


def tokens(data: bytes) -> list[Token]:
    """All of a program's output; a sequence that never ended is a control."""
    tokenizer = Tokenizer()
    found = list(tokenizer.feed(data))
    return [*found, Token("control", tokenizer._rest)] if tokenizer._rest else found
