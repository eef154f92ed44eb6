"""F4: the evaluations. What goes on stands on top, below it a table of all reports, and of the highlighted one what its
numbers stand on.

Reports are folders, listed in a thread when something may have changed there; how far an evaluation is the app's
`RunWatcher` tells. What came is drawn once a second at most, and nothing is sent while nothing changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from core.i18n import _, plural
from core.report.catalog import USUAL, ReportSummary, list_reports
from core.untrusted import inert_line
from core.workspace import Workspace, load_state
from tui.actions import bindings
from tui.evaluation_table import NAMES, Listed, Order, heading, listed, metrics_in, ordered, table
from tui.run_watcher import RunWatcher, watcher_of
from tui.screens.evaluate_actions import EvaluateActions
from tui.screens.metrics import MetricsDialog
from tui.widgets.facts_pane import tell_line
from tui.widgets.fitted_line import FittedLine
from tui.widgets.headed_table import HeadedTable
from tui.widgets.inert_inputs import InertInput
from tui.widgets.report_facts import report_facts
from tui.widgets.run_rows import progress_line
from tui.widgets.status_bar import SharedStatusBar
from tui.widgets.table_rows import TableRows

_DRAW_SECONDS = 1.0
_MOST_LINES = 4
"""Evaluations that go on and are told above the table."""
_ABOUT_LINES = 6


class EvaluateScreen(EvaluateActions):
    """Lists reports."""

    AUTO_FOCUS = ""
    SCOPES: ClassVar[tuple[str, ...]] = ("evaluate",)
    """Of the actions that the palette offers here."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("evaluate"),
        Binding("escape", "back", _("Back"), show=False),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = f"""
    EvaluateScreen #evaluate-body {{ height: 1fr; }}
    EvaluateScreen #evaluate-title {{ height: 1; padding: 0 1; }}
    EvaluateScreen #evaluate-running {{ display: none; height: auto; padding: 0 1; background: $surface; }}
    EvaluateScreen #evaluate-filter {{ display: none; height: 1; border: none; padding: 0 1; background: $boost; }}
    EvaluateScreen #evaluate-about {{
        height: {_ABOUT_LINES}; padding: 0 1; background: $surface; border-top: solid $panel;
    }}
    EvaluateScreen.-short #evaluate-about {{ display: none; }}
    EvaluateScreen #evaluate-none {{ display: none; height: 1fr; padding: 1 2; color: $text-muted; }}
    EvaluateScreen #evaluate-keys {{ background: $panel; color: $text-muted; }}
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        kept = load_state(workspace).get("reports")
        kept = kept if isinstance(kept, dict) else {}
        self._chosen = tuple(name for name in kept.get("metrics") or () if isinstance(name, str))
        self._intervals = kept.get("intervals") is True
        by = kept.get("by")
        self._order = Order(by if isinstance(by, str) else "", kept.get("turned") is True)
        self._summaries: list[ReportSummary] = []
        self._listed_once = False
        self._rows: list[Listed] = []
        self._shown: list[Listed] = []
        self._marked: list[Path] = []
        self._awaited: Path | None = None
        """The folder of a run that was just started, to be highlighted once it is listed."""
        self._state: object = None
        """What decides whether the folders are to be looked at again."""
        self._drawn_at = 0.0
        self._draw_timer: Timer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def watcher(self) -> RunWatcher:
        return watcher_of(self.app)

    def compose(self) -> ComposeResult:
        yield FittedLine(id="evaluate-title")
        with Vertical(id="evaluate-body"):
            yield Static(Content(""), id="evaluate-running")
            yield InertInput(placeholder=_("filter by model, adapter, set"), id="evaluate-filter")
            yield HeadedTable(id="evaluate-table")
            yield Static(Content(""), id="evaluate-about")
        yield Static(Content(""), id="evaluate-none")
        yield FittedLine(id="evaluate-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self._unsubscribe = self.watcher.subscribe(self._runs_changed)
        self.table.focus()
        self.watcher.look_again()
        self.list_again()

    def on_unmount(self) -> None:
        self._unsubscribe()

    def on_screen_resume(self) -> None:
        self.watcher.look_again()
        self.list_again()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._draw)

    @property
    def table(self) -> TableRows:
        return self.query_one("#evaluate-table", HeadedTable).rows

    # --- what there is ---

    def _runs_changed(self, changed: bool) -> None:
        if not self.is_mounted or not self.display:  # it is being left, its widgets may be gone already
            return
        if changed or self._state_now() != self._state:
            self.list_again()
        elif self._draw_timer is None:
            wait = max(0.01, _DRAW_SECONDS - (time.monotonic() - self._drawn_at))
            self._draw_timer = self.set_timer(wait, self._draw)

    def _state_now(self) -> object:
        """What changes when a report comes or goes."""
        return tuple(
            (path, each.state, len(each.history.scored), each.history.answered is None) if each.history else path
            for path, each in self.watcher.evaluations.items()
        )

    @work(exclusive=True, group="list")
    async def list_again(self) -> None:
        """Look at the folders again."""
        self._state = self._state_now()
        self._summaries = await asyncio.to_thread(list_reports, self.workspace)
        self._listed_once = True
        if self.display:  # it may have been left meanwhile
            self._draw()

    @property
    def row(self) -> Listed | None:
        current = self.table.current
        return next((row for row in self._shown if current is not None and row.key == current.key), None)

    @property
    def shown_rows(self) -> list[Listed]:
        return self._shown

    @property
    def every_row(self) -> list[Listed]:
        return self._rows

    @property
    def marked(self) -> list[Path]:
        return self._marked

    @property
    def metrics(self) -> tuple[str, ...]:
        """The columns of numbers: those that were chosen, else the usual ones, as far as any report has them."""
        there = metrics_in(self._rows)
        wanted = self._chosen or USUAL
        return tuple(name for name in wanted if name in there) or tuple(there[: len(USUAL)]) or USUAL

    # --- drawing ---

    def _draw(self) -> None:
        self._draw_timer, self._drawn_at = None, time.monotonic()
        if not self._listed_once:
            return
        words = self.query_one("#evaluate-filter", Input).value.casefold().split()
        self._rows = listed(self._summaries, self.watcher.evaluations)
        self._shown = ordered(self._rows, self._order, words)
        self._marked = [path for path in self._marked if any(row.key == path for row in self._rows)]
        shown = table(self._shown, self.metrics, order=self._order, intervals=self._intervals, marked=self._marked)
        self.table.show(shown)
        self._go_to_awaited()
        self._tell_running()
        self._tell_none()
        self._tell_title()
        self._tell_about()

    def _go_to_awaited(self) -> None:
        if self._awaited is None:
            return
        rows = [row.key for row in self._shown if row.key == self._awaited or self._awaited in row.key.parents]
        if rows and self.table.go_to_key(rows[0]):
            self._awaited = None

    def _tell_running(self) -> None:
        active = [watched for watched in self.watcher.evaluations.values() if watched.active]
        lines = self.query_one("#evaluate-running", Static)
        lines.display = bool(active)
        width = max(20, self.size.width - 2)
        told = [progress_line(watched, width) for watched in active[:_MOST_LINES]]
        if len(active) > _MOST_LINES:
            told.append(Content(_("and {n} more").format(n=len(active) - _MOST_LINES)))
        text = Content("\n").join(told)
        if text != lines.content:
            lines.update(text, layout=len(text.plain.splitlines()) != lines.size.height)

    def _tell_none(self) -> None:
        empty = self._listed_once and self.watcher.scanned and not self._rows
        none = self.query_one("#evaluate-none", Static)
        none.display = empty
        self.query_one("#evaluate-body").display = not empty
        if empty:
            where = inert_line(str(self.workspace.runs))
            told = _("No evaluation yet in {folder}.\n\nn starts one: models and adapters × test sets.")
            none.update(Content(told.format(folder=where)))
        elif self.focused is None and self.is_current:
            self.table.focus()

    def _tell_title(self) -> None:
        active = len({row.watched.run.path if row.watched else row.key for row in self._rows if row.running})
        parts: list[Any] = [(_("Evaluations"), "bold"), (f"  {len(self._rows)}", "$muted")]
        if len(self._shown) < len(self._rows):
            parts.append((_("  {n} shown").format(n=len(self._shown)), "$text-warning"))
        if active:
            parts.append(("  " + plural("{count} going on", "{count} going on", active), "$text-primary"))
        if self._marked:
            parts.append(("  " + plural("{count} marked", "{count} marked", len(self._marked)), "$text-success"))
        parts.append((_("  * best of its set"), "$muted"))
        title = Content.assemble(*parts)
        self.query_one("#evaluate-title", FittedLine).drawn = lambda _width: title
        self.query_one("#evaluate-keys", FittedLine).drawn = lambda _width: self._keys()

    def _tell_about(self) -> None:
        row = self.row
        text = report_facts(row, max(20, self.size.width - 2), _ABOUT_LINES - 1) if row is not None else Content("")
        tell_line(self.query_one("#evaluate-about", Static), text)

    def _keys(self) -> Content:
        row = self.row
        keys = [_("n new")]
        if row is not None:
            own = [_("x stop"), _("l log")] if row.running else [_("enter open"), _("space mark"), _("c compare")]
            again = [_("r resume")] if row.state in ("stopped", "failed", "lost") else []
            keys = [*own, *again, *keys, _("s sort"), _("i intervals"), _("m columns"), _("/ filter"), _("e export")]
        return Content("  ").join(map(Content, [*keys, _("h HTML"), _("esc back"), _("F1 all keys")]))

    @on(TableRows.Moved)
    def _moved(self) -> None:
        row = self.row
        if row is not None and row.watched is not None:
            self.watcher.want(row.watched.run.path)
        self._tell_about()
        self._tell_title()

    @on(TableRows.Entered)
    def _entered(self) -> None:
        self.action_open_report()

    # --- marking, order, columns ---

    def action_mark(self) -> None:
        """Mark this report, to compare it, and go to the next one."""
        row = self.row
        if row is None:
            return
        if row.key in self._marked:
            self._marked.remove(row.key)
        else:
            self._marked.append(row.key)
        self._draw()
        self.table.action_move(1)

    def action_sort(self, way: int) -> None:
        """Sort by the next column, or the other way round."""
        if way < 0:
            self._sort_by(self._order.by, turned=not self._order.turned)
            return
        columns = ["", *NAMES, *self.metrics]
        at = columns.index(self._order.by) if self._order.by in columns else 0
        self._sort_by(columns[(at + 1) % len(columns)], turned=False)

    def _sort_by(self, by: str, *, turned: bool) -> None:
        self._order = Order(by, turned)
        self._keep()
        self._draw()

    def action_intervals(self) -> None:
        self._intervals = not self._intervals
        self._keep()
        self._draw()

    def action_columns(self) -> None:
        """Choose which metrics are shown."""
        there = metrics_in(self._rows)

        def chosen(metrics: list[str] | None) -> None:
            if metrics is not None:
                self._chosen = tuple(name for name in there if name in metrics)
                self._keep()
                self._draw()

        if there:
            titles = {name: heading(name) for name in there}
            self.app.push_screen(MetricsDialog(there, self.metrics, title=_("Which columns?"), titles=titles), chosen)

    def _keep(self) -> None:
        kept = {"metrics": list(self._chosen), "intervals": self._intervals}
        self.remember(reports={**kept, "by": self._order.by, "turned": self._order.turned})

    def action_shift(self, way: int) -> None:
        """Look at other columns."""
        self.table.shift(way)

    # --- filter, back ---

    def action_search(self) -> None:
        line = self.query_one("#evaluate-filter", Input)
        line.display = True
        line.focus()

    @on(Input.Changed, "#evaluate-filter")
    def _filtered(self) -> None:
        self._draw()

    @on(Input.Submitted, "#evaluate-filter")
    def _filter_kept(self) -> None:
        self.table.focus()

    def action_back(self) -> None:
        """One step: out of the filter, out of the marks, back to the chat."""
        line = self.query_one("#evaluate-filter", Input)
        if line.display:
            line.value = ""
            line.display = False
            self.table.focus()
        elif self._marked:
            self._marked = []
            self._draw()
        else:
            self.app.pop_screen()

    def go_to_run(self, run: Path) -> None:
        self._awaited = run
        self.list_again()
