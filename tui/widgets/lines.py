"""Lines of styled text that fit a width: what every text in the transcript ends as.

A line knows which of its characters are decoration (`margin`) and what stood in the source between it and the next
line (`joint`), so that text selected with the mouse is copied as it was written, without the breaks that only the
width of the terminal asked for. Breaking is greedy from left to right, which makes all lines but the last final
while text is still arriving. Chinese, Japanese and Korean break between characters, never before closing or after
opening punctuation; a wide character is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style

Span: TypeAlias = tuple[str, Style]

_WIDE = (
    "\u1100-\u115f\u2e80-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffe6\U00020000-\U0003fffd"
)
_PLAIN = Style.null()
_TAB = "    "
_OPENING = "（「『【《〈〔［｛“‘"
_CLOSING = "）」』】》〉〕］｝”’、。，．！？：；…·～"
_PIECE = re.compile(
    rf"[ \t]+|[{_OPENING}]*(?:(?![{_OPENING}{_CLOSING}])[{_WIDE}]|[^ \t{_WIDE}{_OPENING}{_CLOSING}]+)[{_CLOSING}]*"
    rf"|[{_OPENING}]+[{_CLOSING}]*|[{_CLOSING}]+"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the screen.

    Attributes:
        segments: the styled text.
        joint: the source text between this line and the next: a newline, or what a wrap swallowed.
        margin: how many characters at the start are decoration and not worth copying.
    """

    segments: tuple[Segment, ...] = ()
    joint: str = "\n"
    margin: int = 0

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    @property
    def width(self) -> int:
        return sum(segment.cell_length for segment in self.segments)


BLANK = Line()


def line(text: str, style: Style) -> Line:
    """A line of one style."""
    return Line((Segment(text, style),))


def break_offsets(text: str, width: int) -> list[tuple[int, int]]:
    """Where to break one line of source text: (start, end) of each row, at least one row."""
    if len(text) <= width and text.isascii():
        return [(0, len(text))]
    rows: list[tuple[int, int]] = []
    start = end = used = 0
    for match in _PIECE.finditer(text):
        piece = match.group()
        size = cell_len(piece)
        if piece[0] in " \t":
            used += size
            continue
        if used + size > width and used:
            rows.append((start, end))
            start, used = match.start(), 0
        if size > width:
            *whole, piece = chop_cells(piece, width)
            for chunk in whole:
                rows.append((start, start + len(chunk)))
                start += len(chunk)
            size = cell_len(piece)
        used += size
        end = match.end()
    # Spaces typed at the end stay on the last row, as far as they fit.
    rows.append((start, len(text) if used <= width else end))
    return rows


def wrap(spans: Sequence[Span], width: int) -> list[Line]:
    """One logical line of styled text as rows of at most `width` cells."""
    text = "".join(part for part, _style in spans)
    rows = break_offsets(text, max(2, width))
    lines: list[Line] = []
    for number, (start, end) in enumerate(rows):
        joint = text[end : rows[number + 1][0]] if number + 1 < len(rows) else "\n"
        lines.append(Line(tuple(_cut(spans, start, end)), joint))
    return lines


def _cut(spans: Sequence[Span], start: int, end: int) -> Iterable[Segment]:
    position = 0
    for part, style in spans:
        following = position + len(part)
        if following > start and position < end:
            yield Segment(part[max(0, start - position) : end - position], style)
        position = following


def hang(lines: Iterable[Line], first: Segment, rest: Segment, *, copy_first: bool = False) -> list[Line]:
    """The lines behind a prefix: `first` on the first of them, `rest` on the others.

    Args:
        copy_first: whether the first prefix is part of the text when it is copied (a list marker is, a bar is not).
    """
    hung: list[Line] = []
    for number, each in enumerate(lines):
        prefix = rest if number else first
        margin = each.margin if copy_first and not number else each.margin + len(prefix.text)
        hung.append(replace(each, segments=(prefix, *each.segments), margin=margin))
    return hung


def fill(each: Line, width: int, style: Style) -> Line:
    """The line padded to `width` cells, for a background that ends in a straight edge."""
    missing = width - each.width
    return replace(each, segments=(*each.segments, Segment(" " * missing, style))) if missing > 0 else each


def compact(segments: Iterable[Segment]) -> list[Segment]:
    """The same row in fewer segments: each costs some forty bytes of colours on its way to the terminal.

    Spaces join what stands before them if the background is the same; nobody sees the colour of a space.
    """
    joined: list[Segment] = []
    for segment in segments:
        before = joined[-1] if joined else None
        if before is not None and _alike(before, segment):
            joined[-1] = Segment(before.text + segment.text, before.style)
        else:
            joined.append(segment)
    return joined


def _alike(before: Segment, segment: Segment) -> bool:
    left, right = before.style or _PLAIN, segment.style or _PLAIN
    if left == right:
        return True
    ruled = any(style.underline or style.strike or style.reverse for style in (left, right))
    return not ruled and left.bgcolor == right.bgcolor and not segment.text.strip(" ")


class PlainDocument:
    """Text shown as it was written, wrapped; takes more text at the end without touching finished rows."""

    def __init__(self, width: int, style: Style) -> None:
        self._width = width
        self._style = style
        self._done: list[Line] = []
        self._tail = ""

    def feed(self, text: str) -> None:
        """Adds text (already inert) at the end."""
        *whole, last = (self._tail + text.replace("\t", _TAB)).split("\n")
        for each in whole:
            self._done += wrap([(each, self._style)], self._width)
        # Greedy breaking: only the last row can still change.
        offset = break_offsets(last, self._width)[-1][0]
        if offset:
            rows = wrap([(last, self._style)], self._width)
            self._done += rows[:-1]
        self._tail = last[offset:]

    @property
    def lines(self) -> list[Line]:
        return [*self._done, *wrap([(self._tail, self._style)], self._width)]
