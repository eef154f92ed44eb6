"""A list of options that change while it is looked at: the lines of one that says something else are painted alone.

Textual's own list paints all of its rows anew for each of them, which is most of what a run's new second costs.
"""

from __future__ import annotations

from typing import Self

from textual.geometry import Region
from textual.visual import VisualType
from textual.widgets import OptionList


class LiveOptions(OptionList):
    """Options that are all of the same height.

    Args:
        rows: the lines of an option.
        id: the widget's id.
    """

    def __init__(self, *, rows: int, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._rows = rows
        self._renewed: Region | None = None

    def renew(self, index: int, prompt: VisualType) -> None:
        """Have an option say something else, in as many lines."""
        top = index * self._rows - self.scroll_offset.y
        self._renewed = Region(0, top, self.size.width, self._rows)
        try:
            self.replace_option_prompt_at_index(index, prompt)
        finally:
            self._renewed = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if self._renewed is not None and not regions:
            regions = (self._renewed,)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
