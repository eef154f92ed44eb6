"""F5: the data sets. All of them on the left; of the highlighted one its rows, as text, as the exact prompt or as the
tokens that a training sees, and what is known of all of them.

Opening reads no more of a set than what is in view. Prompt and tokens come from the chat's worker: the tokenizer and
template are those of the model that answers there. Below 100 columns there is one pane at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.widgets import ContentSwitcher, OptionList, Static

from core.data.catalog import Catalog, read_catalog
from core.errors import FinetuiError
from core.i18n import _
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.actions import bindings
from tui.screens.chat_prompt import prompt_of
from tui.screens.data_search import DataSearch
from tui.widgets.fitted_line import FittedLine
from tui.widgets.inert_inputs import InertInput
from tui.widgets.row_pane import RowPane
from tui.widgets.rows_list import RowsList
from tui.widgets.set_list import SetList
from tui.widgets.set_pages import keys, tabs
from tui.widgets.set_panes import ClassesPane, LengthsPane, ProblemsPane
from tui.widgets.set_rows import DataSet, OpenSet, data_sets, head, look_at, row_at
from tui.widgets.status_bar import SharedStatusBar

_WIDE = 100
_LIST = 42
_ROW_PAGES = ("text", "prompt", "tokens")
PAGES = {
    "text": _("text"),
    "prompt": _("prompt"),
    "tokens": _("tokens"),
    "lengths": _("lengths"),
    "classes": _("classes"),
    "problems": _("problems"),
}


class DataScreen(DataSearch):
    """Lists data sets and shows them."""

    SCOPES: ClassVar[tuple[str, ...]] = ("data",)
    """Of the actions that the palette offers here."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("data"),
        Binding("escape", "back", _("Back"), show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = f"""
    DataScreen #data-body {{ height: 1fr; }}
    DataScreen SetList {{ width: {_LIST}; background: $surface; }}
    DataScreen #data-set {{ width: 1fr; }}
    DataScreen ContentSwitcher {{ height: 1fr; }}
    DataScreen OptionList, DataScreen OptionList:focus {{
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option {{ padding: 0 1; }}
        & > .option-list--option-highlighted {{ background: $primary 15%; color: $text; text-style: none; }}
    }}
    DataScreen OptionList:focus > .option-list--option-highlighted {{ background: $primary 30%; }}
    DataScreen #data-search {{ display: none; height: 1; border: none; padding: 0 1; background: $boost; }}
    DataScreen #data-none {{ display: none; height: 1fr; padding: 1 2; color: $text-muted; }}
    DataScreen #data-keys {{ background: $panel; color: $text-muted; }}
    DataScreen.-narrow SetList {{ width: 1fr; background: transparent; }}
    DataScreen.-narrow #data-set {{ display: none; }}
    DataScreen.-narrow.-inside #data-set {{ display: block; }}
    DataScreen.-narrow.-inside SetList {{ display: none; }}
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._catalog = Catalog(workspace.data)
        self._sets: list[DataSet] = []
        self._opened: dict[str, OpenSet | None] = {}
        """By name; None where a set cannot be opened."""
        self._shown = ""
        """The set whose rows are shown."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="data-body"):
            yield SetList(str(self.workspace.data), self._enter_set)
            with Vertical(id="data-set"):
                yield FittedLine(id="data-head")
                yield FittedLine(id="data-tabs")
                with ContentSwitcher(initial="row"):
                    with Vertical(id="row"):
                        yield InertInput(placeholder=_("search all rows, then n and N go on"), id="data-search")
                        yield RowPane(lambda messages: prompt_of(self.app, messages))
                    with Vertical(id="lengths"):
                        yield LengthsPane()
                    with Vertical(id="classes"):
                        yield ClassesPane()
                    with Vertical(id="problems"):
                        yield ProblemsPane()
        yield Static(Content(""), id="data-none")
        yield FittedLine(id="data-keys")
        yield SharedStatusBar()

    @property
    def _is_whole(self) -> bool:
        """Whether all its parts are there: F2 may come right behind F5, before the screen has been seen."""
        return bool(self.query("SetList OptionList") and self.query("#data-keys"))

    def on_mount(self) -> None:
        self._page = "text"
        if self._is_whole:
            self.list.options.focus()
            self.rescan()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        self._list_sets()
        self.show_again()

    # --- the list ---

    def action_rescan(self) -> None:
        """Look at the folder again."""
        self.rescan()

    def rescan(self, name: str = "") -> None:
        self._scan(name or (self.current.name if self.current else ""))

    @work(exclusive=True, group="scan")
    async def _scan(self, name: str) -> None:
        """Read dataset_info.json, then open one set after another, the highlighted one first."""
        try:
            self._catalog = await asyncio.to_thread(read_catalog, self.workspace.data)
        except FinetuiError as error:
            self._catalog = Catalog(self.workspace.data)
            self.tell_error(error)
        self._sets = data_sets(self._catalog)
        self._opened, self._shown = {}, ""
        self.counted, self.reports = {}, {}
        with contextlib.suppress(NoMatches):  # the screen was left meanwhile
            self._list_sets(name)
            while waiting := [each.name for each in self._sets if each.name not in self._opened]:
                wanted = self.current.name if self.current else ""
                await self._look_at(wanted if wanted in waiting else waiting[0])

    async def _look_at(self, name: str) -> None:
        at = next(index for index, each in enumerate(self._sets) if each.name == name)
        looked, opened = await asyncio.to_thread(look_at, self._sets[at], self._catalog)
        self._sets[at] = looked
        self._opened[name] = opened
        self.list.renew(looked)
        if self.current is not None and self.current.name == name:
            self._show_set()

    def _renew(self, data_set: DataSet) -> None:
        self._sets = [data_set if each.name == data_set.name else each for each in self._sets]
        self.list.renew(data_set)

    def _list_sets(self, name: str = "") -> None:
        width = (self.size.width if self.has_class("-narrow") else _LIST) - 3
        self.list.show(self._sets, name, width)
        none = self.query_one("#data-none", Static)
        none.display = not self._sets
        self.query_one("#data-body").display = bool(self._sets)
        told = _("No data set in {folder}.\n\nPut a file there (json, jsonl, csv, parquet or txt), and r finds it.")
        none.update(Content(told.format(folder=inert_line(str(self.workspace.data)))))
        self._tell_keys()

    @property
    def list(self) -> SetList:
        return self.query_one(SetList)

    @property
    def current(self) -> DataSet | None:
        return self.list.current

    @property
    def opened(self) -> OpenSet | None:
        return self._opened.get(self.current.name) if self.current else None

    @property
    def all_sets(self) -> Sequence[DataSet]:
        return self._sets

    @on(OptionList.OptionHighlighted, "SetList OptionList")
    def _highlighted(self) -> None:
        self._show_set()

    def _enter_set(self) -> None:
        self.add_class("-inside")
        self._focus_page()

    # --- the set ---

    @property
    def page(self) -> str:
        return self._page

    def _show_set(self) -> None:
        """Show the highlighted set; another one begins at its first row."""
        name = self.current.name if self.current else ""
        if name != self._shown:
            self._shown = ""
            for group in ("count", "check", "search"):
                self.workers.cancel_group(self, group)
            self.busy = ""
            if name not in self._opened:
                self.query_one(RowPane).show_nothing(_("reading…"))
            elif self.opened is None:
                self.query_one(RowPane).show_nothing(self.current.problem if self.current else "")
            else:
                self.query_one(RowPane).show(self.opened)
                self._shown = name
                self._begin_page()
        self.show_again()

    def show_again(self) -> None:
        data_set = self.current
        if data_set is None:
            return
        self.query_one("#data-head", FittedLine).drawn = lambda width: head(data_set, width)
        report, counted = self.reports.get(data_set.name), self.counted.get(self._entry_name)
        problems = report.total if report else 0
        counts = {"problems": problems, "classes": len(counted.classes.counts) if counted else 0}
        busy = Content.styled(f"   ● {self.busy}" if self.busy else "", "$text-warning")
        page = self._page
        self.query_one("#data-tabs", FittedLine).drawn = lambda width: Content.assemble(
            tabs(PAGES, page, counts, width - busy.cell_length), busy
        )
        waiting = data_set.problem if self.opened is None else _("one moment…")
        match self._page:
            case "lengths":
                self.query_one(LengthsPane).show(counted, waiting)
            case "classes":
                self.query_one(ClassesPane).show(counted, waiting)
            case "problems":
                self.query_one(ProblemsPane).show(report, _("one moment…"))
                if report and data_set.errors != report.errors:  # the list says it too
                    self._renew(replace(data_set, errors=report.errors))
        self._tell_keys()

    @property
    def _entry_name(self) -> str:
        return self.opened.entry.name if self.opened else ""

    def action_page(self, page: str) -> None:
        if self.current is None:
            return
        inside = self.has_class("-narrow") or not self.list.options.has_focus
        self._go_to_page(page)
        if inside:
            self._enter_set()

    def show_rows(self) -> None:
        if self._page not in _ROW_PAGES:
            self._go_to_page("text")

    def _go_to_page(self, page: str) -> None:
        self._page = page
        self.query_one(ContentSwitcher).current = "row" if page in _ROW_PAGES else page
        self._begin_page()
        self.show_again()

    def _begin_page(self) -> None:
        """Have what the page needs found out."""
        if self._page in _ROW_PAGES:
            self.query_one(RowPane).view(self._page)
        elif self._page == "problems":
            if self.current is not None and self.current.name not in self.reports:
                self.check(self.current)
        elif self.opened is not None and self._entry_name not in self.counted:
            self.count(self.opened)

    def _focus_page(self) -> None:
        pages = {"lengths": "LengthsPane", "classes": "ClassesPane OptionList", "problems": "ProblemsPane OptionList"}
        page = self.query_one(pages.get(self._page, "RowsList"))
        if page.region:
            self.set_focus(page)  # now; a widget's own focus() comes later
        else:  # on its way into view
            self.call_after_refresh(page.focus)

    @on(ClassesPane.Chosen)
    def _class_chosen(self, event: ClassesPane.Chosen) -> None:
        self.search_for(event.name)

    @on(ProblemsPane.Chosen)
    def _problem_chosen(self, event: ProblemsPane.Chosen) -> None:
        """Go to the row that a problem is in."""
        number = row_at(self.opened, event.problem.where) if self.opened else None
        if number is not None:
            self._go_to_page("text")
            self._focus_page()
            self.query_one(RowsList).go_to(number)

    def action_check(self) -> None:
        """Look for problems now, also when that was done before."""
        if self.current is not None:
            self.reports.pop(self.current.name, None)
            self.action_page("problems")

    # --- back, and the line of keys ---

    def action_back(self) -> None:
        """One step: out of the search, out of the set, back to the chat."""
        if self.end_search():
            self._focus_page()
        elif (self.has_class("-narrow") and self.has_class("-inside")) or self.query("#data-set:focus-within"):
            self.remove_class("-inside")
            self.call_after_refresh(self.list.options.focus)
        else:
            self.app.pop_screen()

    @on(events.DescendantFocus)
    def _tell_keys(self) -> None:
        if not self._is_whole:
            return
        line = keys(in_list=self.list.options.has_focus, is_file=bool(self.current and self.current.file is not None))
        self.query_one("#data-keys", FittedLine).drawn = lambda _width: line
