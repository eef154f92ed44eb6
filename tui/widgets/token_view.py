"""A prompt as its tokens: each token is a block of its own shade, those that training would put loss on underlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.content import Content
from textual.widgets import Static

from core.serve.protocol import Token
from core.untrusted import inert

_SHADES = ("on $panel", "on $primary 25%")


def token_content(tokens: Sequence[Token]) -> Content:
    """The tokens as one text; neighbours differ in shade, line ends are shown as ⏎ and kept."""
    return Content.assemble(*(_block(index, token) for index, token in enumerate(tokens)))


def of_last_answer(tokens: Sequence[Token]) -> list[Token]:
    """Tokens of a pair's half, of which the last answer alone bears loss."""
    begin = next((index for index in reversed(range(len(tokens))) if tokens[index].trained), 0)
    while begin and tokens[begin - 1].trained:
        begin -= 1
    return [replace(token, trained=token.trained and index >= begin) for index, token in enumerate(tokens)]


def _block(index: int, token: Token) -> tuple[str, str]:
    text = inert(token.text).replace("\n", "⏎\n").replace("\t", "⇥") or "·"
    trained = "$text-success underline " if token.trained else ""
    return text, trained + _SHADES[index % 2]


class TokenView(Static):
    """Shows tokens."""

    def show(self, tokens: Sequence[Token]) -> None:
        self.update(token_content(tokens))
