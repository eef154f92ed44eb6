"""A report, row by row: its numbers on top, the answers as a list, the one under the cursor whole.

Worst answers come first. A line of words filters while it is typed; groups and the confusion table are ways to the
same filter. Where there is no room for list and row together (below 100 columns or 30 lines), there is one at a time.
Rows of an evaluation that still goes on come in by themselves; the cursor stays on its row.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.widgets import ContentSwitcher, Input, OptionList, Static

from core.errors import FinetuiError
from core.i18n import _
from core.report.asked import AskedRows
from core.report.course import run_state
from core.report.filters import filter_names
from core.report.rows import OpenReport, open_report, refreshed
from core.runs.state import is_active
from core.workspace import Workspace
from tui.actions import bindings
from tui.screens.report_listing import ListedAnswers
from tui.widgets.fitted_line import FittedLine
from tui.widgets.inert_inputs import InertInput
from tui.widgets.report_facts_page import facts_content
from tui.widgets.report_filter import FilterSuggester
from tui.widgets.report_groups import GroupsPane
from tui.widgets.report_head import HeadLines
from tui.widgets.report_pages import page_fill
from tui.widgets.report_row import RowSheet
from tui.widgets.report_rows import ReportRows
from tui.widgets.set_pages import tabs
from tui.widgets.status_bar import SharedStatusBar

_WIDE, _HIGH = 100, 30
_LIVE_SECONDS = 1.0
PAGES = {
    "rows": _("rows"),
    "classes": _("classes"),
    "kinds": _("errors"),
    "confusion": _("confusion"),
    "facts": _("facts"),
}


class ReportScreen(ListedAnswers):
    """Shows one report.

    Args:
        workspace: where data sets, models and the app's memory are.
        folder: of a part, of LLaMA-Factory's output, or a predictions file.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ("report",)
    """Of the actions that the palette offers here."""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("report"), Binding("escape", "back", _("Back"), show=False)]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    VERTICAL_BREAKPOINTS = [(0, "-low"), (_HIGH, "-high")]  # noqa: RUF012
    DEFAULT_CSS = """
    ReportScreen #report-filter-line { display: none; height: 1; background: $boost; }
    ReportScreen #report-filter { width: 1fr; height: 1; border: none; padding: 0 1; background: $boost; }
    ReportScreen #report-mistake { width: auto; max-width: 60%; height: 1; color: $text-error; padding: 0 1; }
    ReportScreen ContentSwitcher { height: 1fr; }
    ReportScreen ReportRows { height: 4fr; }
    ReportScreen #report-place { background: $boost; color: $text-muted; }
    ReportScreen RowSheet { height: 5fr; }
    ReportScreen #report-none { display: none; height: 1fr; padding: 1 2; color: $text-muted; }
    ReportScreen #facts { padding: 1 1 0 1; }
    ReportScreen #facts Static { width: 100%; height: auto; }
    ReportScreen OptionList, ReportScreen OptionList:focus {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-highlighted { background: $primary 15%; color: $text; text-style: none; }
    }
    ReportScreen OptionList:focus > .option-list--option-highlighted { background: $primary 30%; }
    ReportScreen #report-keys { background: $panel; color: $text-muted; }
    ReportScreen.-narrow RowSheet, ReportScreen.-low RowSheet { display: none; }
    ReportScreen.-inside.-narrow RowSheet, ReportScreen.-inside.-low RowSheet { display: block; }
    ReportScreen.-inside.-narrow ReportRows, ReportScreen.-inside.-low ReportRows { display: none; }
    """

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        super().__init__(workspace)
        self.folder = folder
        self._page = "rows"
        self._refreshing = False

    def compose(self) -> ComposeResult:
        yield HeadLines()
        yield FittedLine(id="report-tabs")
        with Horizontal(id="report-filter-line"):
            yield InertInput(placeholder=_("wrong · bleu<20 · len>512 · text:流量包 · -reviewed …"), id="report-filter")
            yield Static(Content(""), id="report-mistake")
        with ContentSwitcher(initial="rows"):
            with Vertical(id="rows"):
                yield ReportRows()
                yield FittedLine(id="report-place")
                yield RowSheet()
            for page in ("classes", "kinds", "confusion"):
                yield GroupsPane(id=page)
            with VerticalScroll(id="facts", can_focus=True):
                yield Static(Content(""))
        yield Static(Content(_("reading…")), id="report-none")
        yield FittedLine(id="report-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self.rows.focus()
        self._open()

    @property
    def one_pane(self) -> bool:
        """Whether list and row are shown in turn."""
        return self.has_class("-narrow") or self.has_class("-low")

    @property
    def page(self) -> str:
        return self._page

    # --- reading ---

    @work(exclusive=True, group="open")
    async def _open(self) -> None:
        """Read the report, then look for its questions in their data set."""
        try:
            opened, self.goes_on = await asyncio.to_thread(_opened, self.folder)
        except FinetuiError as error:
            self._tell_nothing(f"{error.message}\n\n{error.hint}")
            return
        with contextlib.suppress(NoMatches):  # the screen was left meanwhile
            self._take(opened)
            if opened.live:
                self.set_interval(_LIVE_SECONDS, self._look_again)
            self.asked = await asyncio.to_thread(AskedRows, opened.report, self.workspace)
            self._show_row()

    @on(events.ScreenResume)
    def _came_back(self) -> None:
        """Another app may have reviewed meanwhile."""
        if self.opened is not None and self.opened.review.reload():
            self.judged(go_on=False)

    def _look_again(self) -> None:
        if self.opened is not None and self.opened.live and not self._refreshing:
            self._refreshing = True  # each answer is handed out once: two at a time would lose some
            self._refresh(self.opened)

    @work
    async def _refresh(self, opened: OpenReport) -> None:
        """Take in what was answered since; the cursor stays on its answer."""
        try:
            renewed, goes_on = await asyncio.to_thread(_renewed, opened)
        except FinetuiError as error:  # it is being put in its place
            self.log(str(error))
            return
        finally:
            self._refreshing = False
        changed, self.goes_on = goes_on != self.goes_on, goes_on
        if renewed is not opened:
            self._take(renewed)
        elif changed:
            self._tell_rows()

    def _take(self, opened: OpenReport) -> None:
        here = self.row
        self.opened = opened
        self.query_one("#report-filter", Input).suggester = FilterSuggester(filter_names(opened.numbers))
        at = _number_of(opened, here.row, here.repeat) if here is not None else None
        self._show_rows(at=at)
        if self._page != "rows":
            self._show_page()

    def _tell_nothing(self, why: str) -> None:
        with contextlib.suppress(NoMatches):
            self.query_one("#report-none", Static).update(Content(why))
            self.query_one("#report-none").display = True
            self.query_one(ContentSwitcher).display = False

    # --- pages ---

    def action_page(self, page: str) -> None:
        if self.opened is None:
            return
        self.go_to_page(page)
        targets = {"rows": "ReportRows", "facts": "#facts"}
        target = self.query_one(targets.get(page, f"#{page} OptionList"))
        if page == "rows" and self.one_pane and self.has_class("-inside"):
            target = self.query_one(RowSheet)
        self.call_after_refresh(target.focus)

    def go_to_page(self, page: str) -> None:
        self._page = page
        self.query_one(ContentSwitcher).current = page
        self._tell_rows()
        self._show_page()

    def _show_page(self) -> None:
        opened = self.opened
        self.query_one("#report-tabs", FittedLine).drawn = lambda width: tabs(PAGES, self._page, {}, width)
        if opened is None or self._page == "rows":
            return
        if self._page == "facts":
            facts = self.query_one("#facts Static", Static)
            facts.update(facts_content(opened, max(20, self.size.width - 3)))
        else:
            self.query_one(f"#{self._page}", GroupsPane).show(page_fill(self._page, opened))

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        self._show_page()
        self.tell_keys()

    # --- back, and the line of keys ---

    def action_back(self) -> None:
        """One step: out of the filter, out of the row, back to the list of rows, back to the table of reports."""
        line = self.query_one("#report-filter", Input)
        if line.has_focus or (self._filter and self._page == "rows" and not self.has_class("-inside")):
            at = self.current
            self._filter_by("")
            self._show_rows(at=at)
        elif self._page != "rows":
            self.action_page("rows")
        elif self.has_class("-inside"):
            self.remove_class("-inside")
            self.call_after_refresh(self.rows.focus)
        else:
            self.app.pop_screen()

    @on(events.DescendantFocus)
    def tell_keys(self) -> None:
        keys = {
            "rows": [
                _("g b u verdict"),
                _("n note"),
                _("/ filter"),
                _("s sort"),
                _("o chat"),
                _("a add"),
                _("e export"),
            ],
            "facts": [_("1-5 pages")],
        }.get(self._page, [_("enter shows its rows"), _("1-5 pages")])
        if self._page == "rows" and isinstance(self.focused, OptionList | ReportRows) and self.one_pane:
            keys = [_("enter the row"), *keys]
        line = Content("  ").join(map(Content, [*keys, _("esc back"), _("F1 all keys")]))
        self.query_one("#report-keys", FittedLine).drawn = lambda _width: line


def _opened(folder: Path) -> tuple[OpenReport, bool]:
    """A report, and whether somebody is still answering."""
    opened = open_report(folder)
    return opened, _goes_on(opened)


def _renewed(opened: OpenReport) -> tuple[OpenReport, bool]:
    renewed = refreshed(opened)
    return renewed, _goes_on(renewed)


def _goes_on(opened: OpenReport) -> bool:
    state = run_state(opened.folder) if opened.live else None
    return state is not None and is_active(state)


def _number_of(opened: OpenReport, row: int, repeat: int) -> int | None:
    """Where an answer is among the rows now."""
    found = (index for index, each in enumerate(opened.predictions) if (each.row, each.repeat) == (row, repeat))
    return next(found, None)
