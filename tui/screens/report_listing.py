"""The rows of a report as they are listed: which of them, in which order, and the one under the cursor whole."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on, work
from textual.content import Content
from textual.widgets import ContentSwitcher, Input, Static

from core.errors import UsageError
from core.i18n import _
from core.report.figures import heading
from core.report.filters import Filter, parse_filter
from core.report.order import WORST, Order, falls, nearness_of, ordered
from core.report.rows import EXACT, OpenReport
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.screens.choose import ChooseWord
from tui.screens.report_actions import ReportActions
from tui.widgets.fitted_line import FittedLine
from tui.widgets.report_groups import GroupsPane
from tui.widgets.report_head import HeadLines
from tui.widgets.report_row import RowSheet, sheet_of
from tui.widgets.report_rows import ReportRows
from tui.widgets.report_table import marks_of, table_of


class ListedAnswers(ReportActions):
    """Answers in rows. What the cursor is on is what the keys act on."""

    goes_on = False
    """Whether somebody is still answering."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._shown: list[int] = []
        self._filter, self._kept = "", Filter("", ())
        """As it is typed, and as it was understood last."""
        self._order = Order()
        self._unfolded = self._together = False

    # --- what the screen gives ---

    @property
    def page(self) -> str:
        raise NotImplementedError

    def go_to_page(self, page: str) -> None:
        """Show a page."""
        raise NotImplementedError

    def tell_keys(self) -> None:
        """Say which keys there are now."""
        raise NotImplementedError

    # --- the rows ---

    @property
    def rows(self) -> ReportRows:
        return self.query_one(ReportRows)

    @property
    def current(self) -> int | None:
        return self.rows.current

    @property
    def order(self) -> Sequence[int]:
        return self._shown

    def _show_rows(self, *, at: int | None = None) -> None:
        """Show the rows that the filter keeps, in their order.

        Args:
            at: the row that the cursor is to be on; None: the first one.
        """
        opened = self.opened
        if opened is None:
            return
        try:
            self._kept = parse_filter(self._filter, opened.numbers)
            self._tell_mistake("")
        except UsageError as error:  # what was shown stays
            self._tell_mistake(": ".join(filter(None, (error.message, error.hint))))
        self._shown = ordered(opened, self._kept(opened), self._order)
        down = bool(self._order.descending) if self._order.column == WORST else falls(self._order)
        if at is None:
            self.rows.go_to(0)
        self.rows.show(table_of(opened, self._shown), self._sorted_by(opened), down, at)
        self._tell_rows()
        self._show_row()

    def _sorted_by(self, opened: OpenReport) -> str:
        """The column whose order is seen; right and wrong have a mark of their own."""
        return nearness_of(opened) or EXACT if self._order.column == WORST else self._order.column

    def _tell_rows(self) -> None:
        opened = self.opened
        if opened is None:
            return
        self.query_one(HeadLines).show(opened, len(self._shown), goes_on=self.goes_on)
        none = self.query_one("#report-none", Static)
        none.display = not self._shown and self.page == "rows"
        self.query_one(ContentSwitcher).display = not none.display
        empty = _("There is no answer yet.") if not len(opened) else _("No row fits the filter. esc takes it away.")
        none.update(Content(empty))
        self.tell_keys()

    def _tell_mistake(self, text: str) -> None:
        self.query_one("#report-mistake", Static).update(Content(inert_line(text)))

    @on(ReportRows.Moved)
    def _moved(self) -> None:
        self.query_one(RowSheet).scroll_home(animate=False)
        self._show_row()

    @on(ReportRows.Opened)
    def _enter_row(self) -> None:
        self.add_class("-inside")
        self.call_after_refresh(self.query_one(RowSheet).focus)

    def _show_row(self) -> None:
        """Show the row under the cursor whole."""
        opened, current = self.opened, self.current
        sheet = self.query_one(RowSheet)
        place = self.query_one("#report-place", FittedLine)
        if opened is None or current is None:
            sheet.show(None)
            place.drawn = lambda _width: Content("")
            return
        asked = self.asked.messages(opened.predictions[current]) if self.asked is not None else ()
        sheet.show(sheet_of(opened, current, asked, unfolded=self._unfolded, together=self._together))
        line = self._place(opened, current)
        place.drawn = lambda _width: line

    def _place(self, opened: OpenReport, current: int) -> Content:
        row = opened.predictions[current]
        number = _("{place:,} of {rows:,}").format(place=self.rows.cursor + 1, rows=len(self._shown))
        by = _("by {column}").format(column=heading(self._order.column)) + (" ↓" if falls(self._order) else " ↑")
        if self._order.column == WORST:
            by = _("best first, by {column}") if self._order.descending else _("worst first, by {column}")
            by = by.format(column=heading(self._sorted_by(opened)))
        repeat = _("answer {n}").format(n=row.repeat + 1) if opened.report.repeats > 1 else ""
        facts = [
            number,
            _("row {n:,}").format(n=row.row + 1),
            inert_line(row.id),
            repeat,
            by,
        ]
        return Content(" · ".join(filter(None, facts)))

    def action_row(self, step: int) -> None:
        self.rows.go_to(self.rows.cursor + step)

    def action_unfold(self) -> None:
        self._unfolded = not self._unfolded
        self._show_row()

    def action_together(self) -> None:
        self._together = not self._together
        self._show_row()

    def action_headline(self) -> None:
        self.query_one(HeadLines).unfold()

    def judged(self, *, go_on: bool) -> None:
        if self.opened is None:
            return
        self.rows.mark(marks_of(self.opened))
        self._tell_rows()
        place = self.rows.cursor
        if go_on and place + 1 < len(self._shown):
            self.rows.go_to(place + 1)
        else:
            self._show_row()

    # --- order ---

    def action_sort(self, step: int) -> None:
        """Sort by the next column, or the other way round."""
        opened = self.opened
        if opened is None:
            return
        if step < 0:
            down = bool(self._order.descending) if self._order.column == WORST else falls(self._order)
            self._sort(Order(self._order.column, not down))
        else:
            columns = [WORST, *opened.scores, "len", "row"]
            at = columns.index(self._order.column) if self._order.column in columns else -1
            self._sort(Order(columns[(at + 1) % len(columns)]))

    def _sort(self, order: Order) -> None:
        self._order = order
        self._show_rows()

    @work
    async def action_sort_by(self) -> None:
        """Choose the column to sort by."""
        if self.opened is None:
            return
        columns = [WORST, *self.opened.numbers, "label", "predict", "id", "finish"]
        chosen = await self.app.push_screen_wait(ChooseWord(_("Sort by"), columns, self._order.column))
        if chosen is not None:
            self._sort(Order(chosen))

    # --- filter ---

    def action_search(self) -> None:
        if self.opened is not None:
            self.go_to_page("rows")
            self.query_one("#report-filter-line").display = True
            self.query_one("#report-filter", Input).focus()

    @on(Input.Changed, "#report-filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if event.value.strip() != self._filter:
            self._filter = event.value.strip()
            self._show_rows(at=self.current)

    @on(Input.Submitted, "#report-filter")
    def _filter_done(self) -> None:
        if not self._filter:
            self.query_one("#report-filter-line").display = False
        self.rows.focus()

    def _filter_by(self, text: str) -> None:
        line = self.query_one("#report-filter", Input)
        self.query_one("#report-filter-line").display = bool(text)
        self.go_to_page("rows")
        line.value = text
        self._filter = text
        self._show_rows()
        self.rows.focus()

    @on(GroupsPane.Chosen)
    def _group_chosen(self, event: GroupsPane.Chosen) -> None:
        self._filter_by(event.filter)
