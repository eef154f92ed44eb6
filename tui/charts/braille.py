"""Dots in character cells: two columns and four rows of dots in each braille character.

Braille is of neutral width: it is one cell wide in every terminal and every locale. A cell belongs to whoever drew
into it last, which is what colours it.
"""

from __future__ import annotations

_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BLANK = "\u2800"
FULL = "\u28ff"


class Canvas:
    """A rectangle of dots.

    Args:
        width: in cells; it has twice as many dots.
        height: in cells; it has four times as many dots.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.dots_across, self.dots_down = 2 * width, 4 * height
        self._bits = [[0] * width for _row in range(height)]
        self._styles = [[""] * width for _row in range(height)]

    def dot(self, x: int, y: int, style: str) -> None:
        """One dot, from the left and from above; outside the canvas nothing happens."""
        if 0 <= x < self.dots_across and 0 <= y < self.dots_down:
            self._bits[y >> 2][x >> 1] |= _BITS[x & 1][y & 3]
            self._styles[y >> 2][x >> 1] = style

    def column(self, x: int, top: int, bottom: int, style: str) -> None:
        """A vertical line of dots, both ends included."""
        for y in range(max(top, 0), min(bottom, self.dots_down - 1) + 1):
            self.dot(x, y, style)

    def line(self, x0: int, y0: int, x1: int, y1: int, style: str) -> None:
        """A line from left to right, both ends included; steep ones have no holes."""
        across = x1 - x0
        before = y0
        for x in range(x0, x1 + 1):
            y = y1 if x == x1 else round(y0 + (y1 - y0) * (x - x0) / across) if across else y1
            if abs(y - before) <= 1:
                self.dot(x, y, style)
            elif y > before:
                self.column(x, before + 1, y, style)
            else:
                self.column(x, y, before - 1, style)
            before = y

    def rows(self) -> list[tuple[list[str], list[str]]]:
        """The characters and the styles of each row of cells; a cell without a dot is a space without a style."""
        return [
            ([chr(0x2800 + bits) if bits else " " for bits in row], styles)
            for row, styles in zip(self._bits, self._styles, strict=True)
        ]
