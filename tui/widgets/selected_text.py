"""Mouse selections in a transcript.

Textual hands out selections in the coordinates that the rows were given. A transcript numbers its rows by entry and
row inside the entry, so a selection stays on its words when rows above it turn out higher than guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection

from tui.widgets.lines import Line

_ROWS_PER_ENTRY = 1 << 24


def row_of(index: int, number: int) -> int:
    """The number of a row over all entries."""
    return index * _ROWS_PER_ENTRY + number


def highlight(row: Line, selection: Selection, y: int, style: Style) -> Line:
    """The row with its selected part in another style; decoration is never selected."""
    span = selection.get_span(y)
    if span is None:
        return row
    start, end = max(span[0], row.margin), len(row.text) if span[1] < 0 else span[1]
    segments: list[Segment] = []
    position = 0
    for segment in row.segments:
        text, plain = segment.text, segment.style or Style.null()
        cuts = [min(max(cut - position, 0), len(text)) for cut in (start, end)]
        if cuts[0] >= cuts[1]:
            segments.append(segment)
        else:
            parts = ((text[: cuts[0]], plain), (text[cuts[0] : cuts[1]], plain + style), (text[cuts[1] :], plain))
            segments += [Segment(part, part_style) for part, part_style in parts if part]
        position += len(text)
    return replace(row, segments=tuple(segments))


def selected_rows(selection: Selection, count: int, rows_of: Callable[[int], list[Line]]) -> Iterator[str]:
    """The selected text row by row, each with what joins it to the next.

    Args:
        count: number of entries.
        rows_of: the rows of an entry.
    """
    first = selection.start.y // _ROWS_PER_ENTRY if selection.start is not None else 0
    last = selection.end.y // _ROWS_PER_ENTRY if selection.end is not None else count - 1
    for index in range(max(0, first), min(last, count - 1) + 1):
        for number, row in enumerate(rows_of(index)):
            span = selection.get_span(row_of(index, number))
            if span is None:
                continue
            whole = span[1] < 0
            text = row.text[max(span[0], row.margin) : None if whole else span[1]]
            yield text.rstrip(" ") + row.joint if whole else text
