"""Everything known about a run, and lines that change each second: only what differs is laid out and sent."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static


class FactsPane(VerticalScroll, can_focus=True):
    """Everything known about a run."""

    DEFAULT_CSS = """
    FactsPane { padding: 0 1; scrollbar-size-vertical: 1; }
    FactsPane Static { width: 100%; height: auto; margin: 0 0 1 0; }
    """

    def show(self, text: Content) -> None:
        """Show a text, block by block: those that stay the same are not sent again."""
        blocks = text.split("\n\n")
        shown = list(self.query(Static))
        while len(shown) > len(blocks):
            shown.pop().remove()
        for block, text_of in enumerate(blocks):
            if block >= len(shown):
                self.mount(Static(text_of))
            else:
                tell_block(shown[block], text_of)


def tell_block(shown: Static, text: Content) -> None:
    """Show another text; it is laid out anew only when it needs another number of rows."""
    width = max(1, shown.size.width)
    before = shown.content
    if _differs(text, before):
        shown.update(text, layout=not (isinstance(before, Content) and _rows(before, width) == _rows(text, width)))


def _rows(text: Content, width: int) -> list[int]:
    return [-(-line.cell_length // width) for line in text.split("\n")]


def tell_line(line: Static, text: Content) -> None:
    """Show something in a line of a fixed height: nothing is sent when it is the same."""
    if _differs(text, line.content):
        line.update(text, layout=False)


def _differs(text: Content, before: object) -> bool:
    """In its words or in its styles; `==` of Textual's contents looks at words alone."""
    return not (isinstance(before, Content) and text.is_same(before))
