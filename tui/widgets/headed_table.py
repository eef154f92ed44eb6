"""A table with its heading above it, which moves and shrinks with the columns."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from tui.widgets.fitted_line import FittedLine
from tui.widgets.table_rows import TableRows


class HeadedTable(Vertical):
    """Titles over `TableRows`."""

    DEFAULT_CSS = """
    HeadedTable { height: 1fr; }
    HeadedTable .table-heading { padding: 0; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        # Made at once: whoever shows something in it need not wait for it to be composed.
        self.rows = TableRows()

    def compose(self) -> ComposeResult:
        yield FittedLine(classes="table-heading")
        yield self.rows

    def on_mount(self) -> None:
        self.query_one(FittedLine).drawn = self._heading

    def _heading(self, _width: int) -> Content:
        return self.rows.heading()

    @on(TableRows.Fitted)
    def _fitted(self, event: TableRows.Fitted) -> None:
        event.stop()
        self.query_one(FittedLine).refresh()
