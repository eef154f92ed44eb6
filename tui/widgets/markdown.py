"""Markdown that arrives bit by bit, as rows of styled text.

Only the last block of a text can still change when more text comes, so all blocks before it are drawn once and kept;
a tick parses and draws the last block alone (of a list: the last item). Blocks are closed by whole lines only: what a
half line looks like says nothing about what it will become. The result equals drawing the whole text at once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from markdown_it import MarkdownIt

from core.untrusted import inert
from tui.widgets.lines import BLANK, Line
from tui.widgets.markdown_blocks import Block, BlockRenderer, blocks, gap, parser
from tui.widgets.palette import Palette


@cache
def _parser() -> MarkdownIt:
    return parser()


class MarkdownDocument:
    """A Markdown text for one width and palette that takes more text at its end."""

    def __init__(self, width: int, palette: Palette) -> None:
        self._width = width
        self._palette = palette
        self._renderer = BlockRenderer(_parser(), palette)
        self._done: list[Line] = []
        self._last_done = ""
        self._tail = ""
        self._tail_after_blank = False
        self._tail_lines: list[Line] | None = None

    def feed(self, text: str) -> None:
        """Adds source text at the end; it need not be inert yet."""
        self._tail += inert(text)
        self._tail_lines = None
        if "\n" in text:
            self._close_blocks()

    @property
    def lines(self) -> list[Line]:
        """All rows."""
        if self._tail_lines is None:
            self._tail_lines, _kind = self._draw(self._blocks(self._tail), self._tail)
        return [*self._done, *self._tail_lines]

    def _blocks(self, source: str) -> list[Block]:
        return blocks(_parser().parse(source), source.split("\n"))

    def _close_blocks(self) -> None:
        """Draws for good what stands before the last block of the complete lines."""
        whole = self._tail[: self._tail.rfind("\n") + 1]
        found = self._blocks(whole)
        if len(found) < 2:
            return
        lines, self._last_done = self._draw(found[:-1], whole)
        self._done += lines
        offset = 0
        for _ in range(found[-1].start):
            offset = self._tail.index("\n", offset) + 1
        self._tail = self._tail[offset:]
        self._tail_after_blank = found[-1].after_blank

    def _draw(self, found: list[Block], source: str) -> tuple[list[Line], str]:
        """The rows of the tail's blocks with the gaps between them, and the kind of the last block."""
        source_lines = source.split("\n")
        above = self._last_done
        lines: list[Line] = []
        for number, block in enumerate(found):
            if not number:
                block = replace(block, after_blank=self._tail_after_blank)
            if above:
                lines += [BLANK] * gap(above, block)
            lines += self._renderer.block(block, source_lines, self._width, self._palette.body)
            above = block.kind
        return lines, above


def render_markdown(text: str, width: int, palette: Palette) -> list[Line]:
    """A whole text at once."""
    document = MarkdownDocument(width, palette)
    document.feed(text)
    return document.lines


def code_blocks(text: str) -> list[str]:
    """The code of each fenced block, as it was written."""
    return [token.content for token in _parser().parse(text) if token.type == "fence"]
