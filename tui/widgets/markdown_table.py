"""Tables with thin rules, fitted to a width.

Columns that are too wide give way, the widest first; their cells wrap. Where not even a few cells per column remain,
each row is written below the other as `header: value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui.widgets.lines import BLANK, Line, Span, wrap
from tui.widgets.palette import Palette

_NARROWEST = 4
_GAP = " │ "


class TableCell:
    """The spans of a cell (one logical line) and how it is aligned: left, center or right.

    A table that streams is drawn at every tick; its cells remember their width and how they were last wrapped.
    """

    def __init__(self, spans: list[Span], align: str = "left") -> None:
        self.spans = spans
        self.align = align
        self.width = sum(cell_len(text) for text, _style in spans)
        self._wrapped: tuple[int, list[Line]] = (0, [])

    def wrapped(self, width: int) -> list[Line]:
        """The rows of the cell in a column of `width` cells."""
        if self._wrapped[0] != width:
            self._wrapped = width, wrap(self.spans, width)
        return self._wrapped[1]


Row = list[TableCell]


def table_lines(head: Row, rows: Sequence[Row], width: int, palette: Palette) -> list[Line]:
    """The table, at most `width` cells wide."""
    available = width - len(_GAP) * (len(head) - 1) - 2
    if available < _NARROWEST * len(head):
        return _as_list(head, rows, width, palette)
    columns = _fit([max(1, *(row[n].width for row in [head, *rows])) for n in range(len(head))], available)
    drawn = [_row_lines(row, columns, palette) for row in rows]
    rule = _rule(columns, palette)
    lines = [*_row_lines(head, columns, palette), rule]
    # Where a row takes several lines, only a rule tells where the next begins.
    between = [rule] if any(len(row) > 1 for row in drawn) else []
    for number, row in enumerate(drawn):
        lines += [*between, *row] if number else row
    return lines


def _fit(widths: list[int], available: int) -> list[int]:
    """The widths, the widest cut down first until they fit."""
    widths = list(widths)
    excess = sum(widths) - available
    while excess > 0:
        widest = max(widths)
        at = [n for n, width in enumerate(widths) if width == widest]
        following = max((width for width in widths if width < widest), default=_NARROWEST)
        step = max(1, min(widest - max(following, _NARROWEST), -(-excess // len(at))))
        for n in at:
            cut = min(step, excess)
            widths[n] -= cut
            excess -= cut
    return widths


def _rule(columns: list[int], palette: Palette) -> Line:
    return Line((Segment("─" + "─┼─".join("─" * column for column in columns) + "─", palette.rule),))


def _row_lines(row: Row, columns: list[int], palette: Palette) -> list[Line]:
    wrapped = [cell.wrapped(column) for cell, column in zip(row, columns, strict=True)]
    lines: list[Line] = []
    for parts in zip_longest(*wrapped, fillvalue=BLANK):
        segments: list[Segment] = [Segment(" ", palette.body)]
        for number, (part, cell, column) in enumerate(zip(parts, row, columns, strict=True)):
            if number:
                segments.append(Segment(_GAP, palette.rule))
            segments += _aligned(part, cell.align, column, palette.body)
        lines.append(Line(tuple(segments), margin=1))
    return lines


def _aligned(part: Line, align: str, column: int, style: Style) -> list[Segment]:
    missing = max(0, column - part.width)
    left = {"right": missing, "center": missing // 2}.get(align, 0)
    return [Segment(" " * left, style), *part.segments, Segment(" " * (missing - left), style)]


def _as_list(head: Row, rows: Sequence[Row], width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = []
    for number, row in enumerate(rows):
        if number:
            lines.append(Line((Segment("─" * min(width, 12), palette.rule),)))
        for name, cell in zip(head, row, strict=True):
            lines += wrap([*name.spans, (": ", palette.muted), *cell.spans], width)
    return lines or wrap([span for cell in head for span in [*cell.spans, ("  ", palette.muted)]], width)
