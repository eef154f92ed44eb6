"""Two or more reports of one test set: how much they differ and whether that can be chance, and the rows behind it.

Opening reports and drawing thousands of samples goes on in a thread. Two pages: the numbers, with what makes the
comparison unfair above them, and the rows, of which one is shown with the answers of all models side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Input, Static

from core.errors import FinetuiError
from core.i18n import _, plural
from core.report.compare import Change, Comparison, compare
from core.report.compare_export import export_comparison
from core.report.comparison_words import CHANGES, change_word
from core.report.rows import EXACT, open_report
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui.actions import bindings
from tui.comparison_tables import RowSearch, counts, mcnemar_text, numbers_table, rows_table, summary_text
from tui.evaluation_table import heading
from tui.screens.choose import ChooseWord
from tui.screens.report_dialogs import ExportDialog
from tui.screens.writing import write_file
from tui.widgets.comparison_sheet import ComparisonSheet
from tui.widgets.fitted_line import FittedLine
from tui.widgets.headed_table import HeadedTable
from tui.widgets.inert_inputs import InertInput
from tui.widgets.status_bar import SharedStatusBar
from tui.widgets.table_rows import TableRows

_HIGH = 30
_FORMATS = {"md": "markdown", "html": "html", "csv": "csv", "jsonl": "jsonl"}
"""By a file's ending."""


class CompareScreen(Screen[None]):
    """Shows a comparison.

    Args:
        workspace: where exports are written.
        folders: of the reports; the first one is the baseline.
    """

    AUTO_FOCUS = ""
    SCOPES: ClassVar[tuple[str, ...]] = ("compare",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare"), Binding("escape", "back", _("Back"), show=False)]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (_HIGH, "-high")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = """
    CompareScreen ContentSwitcher { height: 1fr; }
    CompareScreen #compare-tabs { color: $text-muted; }
    CompareScreen #compare-warnings {
        display: none; height: auto; max-height: 5; padding: 0 1; background: $surface; scrollbar-size-vertical: 1;
    }
    CompareScreen #compare-warnings Static { width: 100%; height: auto; }
    CompareScreen #compare-tests { height: auto; max-height: 40%; padding: 1 1 0 1; }
    CompareScreen #compare-filter { display: none; height: 1; border: none; padding: 0 1; background: $boost; }
    CompareScreen #compare-counts { color: $text-muted; }
    CompareScreen #compare-rows { height: 4fr; }
    CompareScreen ComparisonSheet { height: 5fr; border-top: solid $panel; }
    CompareScreen.-low ComparisonSheet { display: none; }
    CompareScreen.-low.-inside ComparisonSheet { display: block; }
    CompareScreen.-low.-inside #compare-rows { display: none; }
    CompareScreen #compare-none { height: 1fr; padding: 1 2; color: $text-muted; }
    CompareScreen #compare-keys { background: $panel; color: $text-muted; }
    """

    def __init__(self, workspace: Workspace, folders: Sequence[Path]) -> None:
        super().__init__()
        self.workspace = workspace
        self._folders = list(folders)
        self._compared: Comparison | None = None
        self._number = 1
        """The report whose rows are told against the baseline's."""
        self._by = EXACT
        self._kind: Change | None = None
        """Which rows are shown; None: all."""
        self._changes: Sequence[Change] = ()
        self._positions: list[int] = []
        self._search: RowSearch | None = None

    def compose(self) -> ComposeResult:
        yield FittedLine(id="compare-title")
        yield FittedLine(id="compare-tabs")
        yield Static(Content(_("comparing…")), id="compare-none")
        with ContentSwitcher(initial="numbers"):
            with Vertical(id="numbers"):
                with VerticalScroll(id="compare-warnings", can_focus=False):
                    yield Static(Content(""))
                yield HeadedTable(id="compare-numbers")
                yield Static(Content(""), id="compare-tests")
            with Vertical(id="rows"):
                yield FittedLine(id="compare-counts")
                yield InertInput(placeholder=_("rows with these words"), id="compare-filter")
                yield HeadedTable(id="compare-rows")
                yield ComparisonSheet(id="compare-sheet")
        yield FittedLine(id="compare-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self.query_one(ContentSwitcher).display = False
        self.load()

    @work(exclusive=True)
    async def load(self) -> None:
        """Open the reports and compare them."""
        try:
            reports = await asyncio.gather(*(asyncio.to_thread(open_report, folder) for folder in self._folders))
            self._compared = await asyncio.to_thread(compare, reports)
            self._search = RowSearch(self._compared)
        except FinetuiError as error:
            told = Content(inert(f"{error.message}\n{error.hint}".strip()))
            self.query_one("#compare-none", Static).update(told)
            return
        self.query_one("#compare-none").display = False
        self.query_one(ContentSwitcher).display = True
        by = self._by if self._by in self._compared.columns else next(iter(self._compared.columns), EXACT)
        self._by = self._compared.told_by(by)
        self._number = min(self._number, len(self._compared.names) - 1)
        self._show()
        self._focus_page()

    @property
    def page(self) -> str:
        return self.query_one(ContentSwitcher).current or "numbers"

    def _table(self, page: str) -> TableRows:
        return self.query_one(f"#compare-{page}", HeadedTable).rows

    # --- drawing ---

    def _show(self) -> None:
        compared = self._compared
        if compared is None:
            return
        self._changes = compared.changes(self._number, self._by) if self._by in compared.columns else ()
        self._table("numbers").show(numbers_table(compared))
        self._tell_warnings(compared)
        tests = [told for against in compared.against if (told := mcnemar_text(compared, against))]
        tests.append(_("Differences are of the same rows, resampled in pairs; chance? means the interval holds 0."))
        self.query_one("#compare-tests", Static).update(Content("\n".join(tests)))
        self._show_rows(compared)
        self._tell_tabs()

    def _show_rows(self, compared: Comparison) -> None:
        kept = [at for at, change in enumerate(self._changes) if self._kind in (None, change)]
        words = self.query_one("#compare-filter", Input).value
        self._positions = self._search.found(kept, words) if self._search is not None else kept
        listed = self._table("rows")
        if self._changes:
            listed.show(rows_table(compared, self._positions, self._changes, self._by))
        self._show_row()

    def _show_row(self) -> None:
        current = self._table("rows").current
        at = current.key if current is not None and isinstance(current.key, int) else None
        self.query_one(ComparisonSheet).show(self._compared, at, self._by)

    def _tell_warnings(self, compared: Comparison) -> None:
        box = self.query_one("#compare-warnings")
        box.display = bool(compared.warnings)
        lines = [Content.assemble(("! ", "bold $text-warning"), inert_line(told)) for told in compared.warnings]
        box.query_one(Static).update(Content("\n").join(lines))

    def _tell_tabs(self) -> None:
        compared = self._compared
        if compared is None:
            return
        first = compared.reports[0].report
        rows = plural("{count} common row", "{count} common rows", len(compared.rows))
        title = Content.assemble(
            (_("Comparison"), "bold"),
            f"  {inert_line(first.data.name)}  ",
            (f"{rows} · " + _("baseline {name}").format(name=inert_line(compared.names[0])), "$muted"),
        )
        self.query_one("#compare-title", FittedLine).drawn = lambda _width: title
        tabs = [
            Content.styled(f"{number} {name}", "bold underline $text" if page == self.page else "")
            for number, (page, name) in enumerate((("numbers", _("numbers")), ("rows", _("rows"))), start=1)
        ]
        told = summary_text(compared, self._number, self._changes) if self._changes else ""
        line = Content.assemble(Content("   ").join(tabs), (f"   {told}", "$muted"))
        self.query_one("#compare-tabs", FittedLine).drawn = lambda _width: line
        self._tell_counts()
        self.query_one("#compare-keys", FittedLine).drawn = lambda _width: self._keys()

    def _tell_counts(self) -> None:
        kinds: list[tuple[Change | None, str, int]] = [(None, _("all"), len(self._changes))]
        kinds += [(change, change_word(change), count) for change, count in counts(self._changes).items()]
        parts = [
            Content.styled(f"{name} {count}", "bold underline $text" if kind == self._kind else "")
            for kind, name, count in kinds
        ]
        judged = _("by {metric}").format(metric=heading(self._by))
        line = Content.assemble(Content("  ").join(parts), (f"   {judged}", "$text-accent"))
        if len(self._positions) != {kind: count for kind, _name, count in kinds}[self._kind]:
            line = Content.assemble(line, (_("   {n} shown").format(n=len(self._positions)), "$text-warning"))
        self.query_one("#compare-counts", FittedLine).drawn = lambda _width: line

    def _keys(self) -> Content:
        keys = [_("enter rows by this metric"), _("2 rows")]
        if self.page == "rows":
            keys = [_("i improved"), _("r regressed"), _("c changed"), _("a all"), _("m judged by"), _("/ filter")]
        more = [_("o another one")] if self._compared is not None and len(self._compared.names) > 2 else []
        keys = [*keys, *more, _("b baseline"), _("e export"), _("esc back"), _("F1 all keys")]
        return Content("  ").join(map(Content, keys))

    # --- moving ---

    @on(TableRows.Moved)
    def _moved(self) -> None:
        if self.page == "rows":
            self._show_row()

    @on(TableRows.Entered)
    def _entered(self) -> None:
        self.action_open_row()

    def action_page(self, page: str) -> None:
        if self._compared is None:
            return
        self.remove_class("-inside")
        self.query_one(ContentSwitcher).current = page
        self._tell_tabs()
        self._focus_page()

    def _focus_page(self) -> None:
        self.call_after_refresh(self._table(self.page).focus)

    def action_open_row(self) -> None:
        """From a metric to the rows judged by it; from a row to all of it."""
        if self._compared is None:
            return
        if self.page == "numbers":
            current = self._table("numbers").current
            if current is not None and current.key in self._compared.columns:
                self._by = str(current.key)
                self._show()
            self.action_page("rows")
            return
        self.add_class("-inside")
        self.call_after_refresh(self.query_one(ComparisonSheet).focus)

    def action_shift(self, way: int) -> None:
        self._table(self.page).shift(way)

    def action_back(self) -> None:
        """One step: out of the row, out of the filter, out of the comparison."""
        line = self.query_one("#compare-filter", Input)
        if self.query_one(ComparisonSheet).has_focus:
            self.remove_class("-inside")
            self._focus_page()
        elif line.display:
            line.value = ""
            line.display = False
            self._focus_page()
        else:
            self.app.pop_screen()

    # --- which rows ---

    def action_show_rows(self, kind: str) -> None:
        """Show the rows that became this."""
        if self._compared is None:
            return
        self._kind = next((change for change in CHANGES if change == kind), None)
        self._show_rows(self._compared)
        self.action_page("rows")

    def action_search(self) -> None:
        if self._compared is None:
            return
        self.action_page("rows")
        line = self.query_one("#compare-filter", Input)
        line.display = True
        self.call_after_refresh(line.focus)

    @on(Input.Changed, "#compare-filter")
    def _filtered(self) -> None:
        if self._compared is not None:
            self._show_rows(self._compared)
            self._tell_counts()

    @on(Input.Submitted, "#compare-filter")
    def _filter_kept(self) -> None:
        self._focus_page()

    def action_judge(self) -> None:
        """Choose the metric that says what is better."""
        if self._compared is None:
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                self._by = name
                self._show()

        self.app.push_screen(ChooseWord(_("By which metric?"), list(self._compared.columns), self._by), chosen)

    def action_other(self) -> None:
        """What became of the rows in the next report."""
        if self._compared is not None and len(self._compared.names) > 2:
            self._number = self._number % (len(self._compared.names) - 1) + 1
            self._show()

    def action_baseline(self) -> None:
        """Take another report as the one that the others are compared with."""
        compared = self._compared
        if compared is None:
            return

        def chosen(name: str | None) -> None:
            if name is not None and name != compared.names[0]:
                self._folders.insert(0, self._folders.pop(compared.names.index(name)))
                self.load()

        question = _("Compare the others with which one?")
        self.app.push_screen(ChooseWord(question, list(compared.names), compared.names[0]), chosen)

    # --- writing down ---

    def action_export_comparison(self) -> None:
        """Write the numbers and the rows shown into a file."""
        compared = self._compared
        if compared is None:
            return

        def named(name: str | None) -> None:
            if name:
                path = self.workspace.root / Path(name).expanduser()
                form = _FORMATS[path.suffix.removeprefix(".").lower()]
                write_file(self, path, export_comparison(compared, form, self._positions))

        self.app.push_screen(ExportDialog(len(self._positions), "comparison.md", tuple(_FORMATS)), named)
