"""The search on the Data screen: a line to type in, and the way through the rows that were found."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.widgets import Input

from core.i18n import _, plural
from core.untrusted import inert_line
from tui.screens.judge_actions import JudgeActions
from tui.widgets.rows_list import RowsList


class DataSearch(JudgeActions):
    """Finds rows of the current set."""

    def show_rows(self) -> None:
        """Go to a page with rows, where another is shown."""
        raise NotImplementedError

    @property
    def _line(self) -> Input:
        return self.query_one("#data-search", Input)

    def action_search(self) -> None:
        if self.opened is None:
            return
        self.add_class("-inside")
        self.show_rows()
        self._line.display = True
        self._line.focus()

    @on(Input.Submitted, "#data-search")
    def _search_submitted(self, event: Input.Submitted) -> None:
        self.search_for(event.value)

    def search_for(self, text: str) -> None:
        """Find the rows with a text; with none, show no row as found."""
        if self.opened is None:
            return
        self.show_rows()
        self._line.value = text
        self._line.display = bool(text)
        rows = self.query_one(RowsList)
        rows.focus()
        if text:
            self.search(self.opened, text)
        else:
            rows.mark(())

    def found(self, matches: Sequence[int], text: str) -> None:
        rows = self.query_one(RowsList)
        rows.mark(matches)
        if rows.next_match(1, here=True):
            self.notify(plural("{count} row has it", "{count} rows have it", len(matches)), timeout=3)
        else:
            self.notify(_("No row has “{text}”.").format(text=inert_line(text)), severity="warning", markup=False)

    def action_next_match(self, way: int) -> None:
        if not self.query_one(RowsList).next_match(way):
            self.notify(_("/ searches; n and N go through what was found."))

    def end_search(self) -> bool:
        """Leave the search; whether there was one."""
        if not self._line.display:
            return False
        self._line.value = ""
        self._line.display = False
        self.query_one(RowsList).mark(())
        return True
