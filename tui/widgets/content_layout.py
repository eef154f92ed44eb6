"""Styled text broken into lines and put side by side.

Textual breaks text at spaces only, which leaves a Chinese sentence behind a Latin word on a line of its own; here
lines break as everywhere in the app (`tui.widgets.lines`), and two columns stay two columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from rich.cells import cell_len
from textual.content import Content

from tui.widgets.lines import break_offsets

_TAB = "    "


def wrapped(content: Content, width: int) -> list[Content]:
    """The lines of a text, each of at most `width` cells; an empty text is one empty line."""
    return [row for each in content.split("\n", allow_blank=True) for row in _rows(each, max(2, width))]


def _rows(line: Content, width: int) -> list[Content]:
    if "\t" in line.plain:
        line = _without_tabs(line)
    rows = break_offsets(line.plain, width)
    if len(rows) == 1:
        return [line[rows[0][0] : rows[0][1]]]
    cuts = [offset for row in rows for offset in row]
    return line.divide(cuts)[1::2]


def _without_tabs(line: Content) -> Content:
    return Content(_TAB).join(line.split("\t", allow_blank=True))


def fitted(content: Content, width: int) -> Content:
    """One line of exactly so many cells."""
    if content.cell_length > width:
        content = content.truncate(max(1, width), ellipsis=True)
    return content.pad_right(max(0, width - content.cell_length))


def tail(text: str, width: int) -> str:
    """A name in so many cells. Its end stays: that is what tells a run's checkpoints apart."""
    if cell_len(text) <= width:
        return text
    while cell_len(text) > max(1, width - 1):
        text = text[1:]
    return "…" + text


def beside(left: Iterable[Content], right: Iterable[Content], width: int, rule: str = " │ ") -> list[Content]:
    """Two columns of lines of at most `width` cells, which share a line each; the left one is filled up."""
    between = Content.styled(rule, "$muted")
    blank = Content("")
    return [Content.assemble(fitted(a, width), between, b) for a, b in zip_longest(left, right, fillvalue=blank)]


def column_width(width: int, rule: str = " │ ") -> int:
    """Cells of each of two columns that fill `width`."""
    return max(2, (width - cell_len(rule)) // 2)
