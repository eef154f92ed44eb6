"""Dots in character cells: two columns and four rows of dots in each braille character.

Braille is of neutral width: it is one cell wide in every terminal and every locale. A cell belongs to whoever painted
into it last, which is what colours it. A column of dots is one whole number, a bit for each row from above, so that a
band of any height is set at once.
"""

from __future__ import annotations

FULL = "\u28ff"
_LEFT = tuple(sum(bit for row, bit in enumerate((0x01, 0x02, 0x04, 0x40)) if rows >> row & 1) for rows in range(16))
_RIGHT = tuple(sum(bit for row, bit in enumerate((0x08, 0x10, 0x20, 0x80)) if rows >> row & 1) for rows in range(16))
"""The bits of a character for the four dots of its left, its right column."""


class Dots:
    """A rectangle of dots of one style.

    Args:
        across: how many dots wide.
        down: how many dots high.
    """

    def __init__(self, across: int, down: int) -> None:
        self.across, self.down = across, down
        self.columns = [0] * across

    def copy(self) -> Dots:
        other = Dots(0, self.down)
        other.across, other.columns = self.across, self.columns.copy()
        return other

    def column(self, x: int, top: int, bottom: int) -> None:
        """A vertical line of dots, from the left and from above, both ends included; outside nothing happens."""
        top, bottom = max(top, 0), min(bottom, self.down - 1)
        if 0 <= x < self.across and top <= bottom:
            self.columns[x] |= (2 << bottom) - (1 << top)

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A line from left to right, both ends included; steep ones have no holes."""
        across = x1 - x0
        before = y0
        for x in range(x0, x1 + 1):
            y = y1 if x == x1 else round(y0 + (y1 - y0) * (x - x0) / across) if across else y1
            if y > before + 1:
                self.column(x, before + 1, y)
            elif y < before - 1:
                self.column(x, y, before - 1)
            else:
                self.column(x, y, y)
            before = y


class Canvas:
    """Cells that dots are painted into.

    Args:
        width: in cells; it takes twice as many dots.
        height: in cells; it takes four times as many dots.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _row in range(height)]
        self._styles = [[""] * width for _row in range(height)]

    def paint(self, dots: Dots, style: str) -> None:
        """Put dots over what is there."""
        columns = dots.columns
        for x in range(self.width):
            left, right = columns[2 * x], columns[2 * x + 1]
            rest = left | right
            while rest:
                y = (rest & -rest).bit_length() - 1 >> 2
                shift = 4 * y
                self._bits[y][x] |= _LEFT[left >> shift & 15] | _RIGHT[right >> shift & 15]
                self._styles[y][x] = style
                rest &= ~(15 << shift)

    def rows(self) -> list[tuple[list[str], list[str]]]:
        """The characters and the styles of each row of cells; a cell without a dot is a space without a style."""
        return [
            ([chr(0x2800 + bits) if bits else " " for bits in row], styles)
            for row, styles in zip(self._bits, self._styles, strict=True)
        ]
