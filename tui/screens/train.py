"""F3: the trainings. Runs on the left, the pages of the highlighted one in the middle, its facts on the right.

The screen shows what the app's `RunWatcher` knows and asks nothing of the disk itself, but for the log. What came is
drawn once a second at most. Below 100 columns there is one pane at a time: the list, or with enter the run.
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
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import ContentSwitcher, Input, Static

from core.i18n import _
from core.report.catalog import list_reports
from core.runs.events import CheckpointSaved
from core.workspace import Workspace
from tui.actions import bindings
from tui.curve_plots import ShownRun
from tui.evaluation_table import results_of
from tui.run_steps import answering_step, tested_step
from tui.run_watcher import RunWatcher, Watched, watcher_of
from tui.screens.run_curves import DrawnCurves
from tui.screens.run_list import LETTERS, LIST_CELLS
from tui.widgets.answers_page import AnswersPage
from tui.widgets.checkpoints_page import CheckpointsPage
from tui.widgets.curves_page import CurvesPage
from tui.widgets.curves_pane import CurvesPane
from tui.widgets.facts_pane import FactsPane, tell_line
from tui.widgets.inert_inputs import InertInput
from tui.widgets.live_options import LiveOptions
from tui.widgets.log_page import LogPage
from tui.widgets.log_view import LogView
from tui.widgets.pipeline_lines import pipeline_content
from tui.widgets.run_rows import ROWS, STAGES, facts, progress_line
from tui.widgets.status_bar import SharedStatusBar

_WIDE = 100
_FACTS = 34
_DRAW_SECONDS = 1.0
PAGES = {
    "curves": _("curves"),
    "log": _("log"),
    "answers": _("answers"),
    "checkpoints": _("checkpoints"),
    "facts": _("facts"),
}


class TrainScreen(DrawnCurves):
    """Lists runs and shows them."""

    AUTO_FOCUS = ""  # Textual's choice, back from the form, would be the filter, which may be hidden
    SCOPES: ClassVar[tuple[str, ...]] = ("train", "curves", "answers")
    """Of the actions that the palette offers here."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("train"),
        Binding("escape", "back", _("Back"), show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  Textual declares no class variable
    DEFAULT_CSS = f"""
    TrainScreen #train-body {{ height: 1fr; }}
    TrainScreen #train-list {{ width: {LIST_CELLS}; background: $surface; }}
    TrainScreen #train-title {{ height: 1; padding: 0 1; }}
    TrainScreen #train-filter {{ display: none; height: 1; border: none; padding: 0 1; background: $boost; }}
    TrainScreen #train-runs, TrainScreen #train-runs:focus {{
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option {{ padding: 0; }}
        & > .option-list--option-highlighted {{ background: $primary 15%; color: $text; text-style: none; }}
    }}
    TrainScreen #train-runs:focus > .option-list--option-highlighted {{ background: $primary 25%; }}
    TrainScreen #train-none {{ display: none; height: 1fr; padding: 1 2; color: $text-muted; }}
    TrainScreen #train-run {{ width: 1fr; }}
    TrainScreen #train-head, TrainScreen #train-tabs {{ height: 1; padding: 0 1; }}
    TrainScreen #train-tabs {{ color: $text-muted; }}
    TrainScreen ContentSwitcher {{ height: 1fr; }}
    TrainScreen #train-facts {{ width: {_FACTS}; border-left: solid $panel; }}
    TrainScreen #train-keys {{ height: 1; padding: 0 1; background: $panel; color: $text-muted; }}
    TrainScreen.-narrow #train-facts {{ display: none; }}
    TrainScreen.-narrow #train-list {{ width: 1fr; background: transparent; }}
    TrainScreen.-narrow #train-run {{ display: none; }}
    TrainScreen.-narrow.-inside #train-run {{ display: block; }}
    TrainScreen.-narrow.-inside #train-list {{ display: none; }}
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._drawn_at = 0.0
        self._draw_timer: Timer | None = None
        self._tested: dict[Path, list[tuple[str, str]]] = {}
        """Of each run what evaluations of it found."""
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def watcher(self) -> RunWatcher:
        return watcher_of(self.app)

    def compose(self) -> ComposeResult:
        with Horizontal(id="train-body"):
            with Vertical(id="train-list"):
                yield Static(Content(_("Runs")), id="train-title")
                yield InertInput(placeholder=_("filter by name"), id="train-filter")
                yield LiveOptions(rows=ROWS, id="train-runs")
            with Vertical(id="train-run"):
                yield Static(Content(""), id="train-head")
                yield Static(Content(""), id="train-tabs")
                with ContentSwitcher(initial="curves"):
                    yield CurvesPage(self.kept_curves(), id="curves")
                    with Vertical(id="log"):
                        yield LogPage()
                    with Vertical(id="answers"):
                        yield AnswersPage()
                    with Vertical(id="checkpoints"):
                        yield CheckpointsPage()
                    with Vertical(id="facts"):
                        yield FactsPane()
            yield FactsPane(id="train-facts")
        yield Static(Content(""), id="train-none")
        yield Static(Content(""), id="train-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self._unsubscribe = self.watcher.subscribe(self._runs_changed)
        self.query_one("#train-runs").focus()
        self.watcher.look_again()
        self.call_after_refresh(self._list_runs)

    def on_unmount(self) -> None:
        self._unsubscribe()

    def on_screen_resume(self) -> None:
        self.watcher.look_again()
        self._look_for_reports()

    @work(exclusive=True, group="reports")
    async def _look_for_reports(self) -> None:
        """What was measured of each run."""
        summaries = await asyncio.to_thread(list_reports, self.workspace)
        self._tested = {path: results_of(path, summaries) for path in self.watcher.trainings}
        if self.display:  # it may have been left meanwhile
            self._show_run()

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._list_runs)

    # --- what the watcher tells ---

    def _runs_changed(self, listed: bool) -> None:
        if not self.is_mounted or not self.display:  # it is being left, its widgets may be gone already
            return
        if listed:
            self._list_runs()
            self._look_for_reports()
        elif self._draw_timer is None:
            wait = _DRAW_SECONDS - (time.monotonic() - self._drawn_at)
            if wait <= 0:  # at once: one frame for this and for the line at the bottom
                self._draw()
            else:
                self._draw_timer = self.set_timer(wait, self._draw)

    def _draw(self) -> None:
        self._draw_timer, self._drawn_at = None, time.monotonic()
        self._renew_rows()
        self._tell_title()
        self._show_run()

    # --- the run ---

    @property
    def checkpoint(self) -> CheckpointSaved | None:
        """The checkpoint that the keys act on, on the page of checkpoints."""
        return self.query_one(CheckpointsPage).current if self.page == "checkpoints" else None

    @property
    def page(self) -> str:
        return self.query_one(ContentSwitcher).current or "curves"

    def _show_run(self) -> None:
        """Show the page of the current run as it is now."""
        watched = self.current
        self._tell_keys(watched)
        if watched is None:
            return
        pane = self if self.has_class("-narrow") else self.query_one("#train-run")  # hidden, it has no size yet
        width = max(10, pane.size.width - 2)
        tell_line(self.query_one("#train-head", Static), progress_line(watched, width))
        self._tell_tabs(watched)
        match self.page:
            case "curves" if watched.summary.steps:
                self.query_one(CurvesPage).show_instead(pipeline_content(watched, self.watcher.runs))
            case "curves":
                self.query_one(CurvesPage).show(
                    self._overlaid(watched), watched.history, watched.stage, watched.options, _waiting(watched)
                )
            case "log":
                self.query_one(LogPage).show(watched.run.log)
            case "answers":
                self.query_one(AnswersPage).show(watched.history, watched.stage, bool(watched.summary.steps))
            case "checkpoints":
                self.query_one(CheckpointsPage).show(watched.history, watched.stage, bool(watched.summary.steps))
            case _facts:
                pass
        shown = "#facts FactsPane" if self.has_class("-narrow") else "#train-facts"
        tested = self._tested.get(watched.run.path, ())
        self.query_one(shown, FactsPane).show(facts(watched, _FACTS - 4, tested))

    def _overlaid(self, watched: Watched) -> list[ShownRun]:
        """The marked runs and this one."""
        letters = self.letters or {watched.run.path: LETTERS[0]}
        runs = [(self.watcher.runs[path], letter) for path, letter in letters.items() if path in self.watcher.runs]
        return [
            ShownRun(run.name, letter, run.history, run.active, run.stage, run.options)
            for run, letter in runs
            if run.history is not None
        ]

    def _tell_tabs(self, watched: Watched) -> None:
        history = watched.history
        counts = {"checkpoints": len(history.checkpoints), "answers": len(history.samples)} if history else {}
        parts: list[Content] = []
        for number, (page, name) in enumerate(PAGES.items(), start=1):
            if page == "facts" and not self.has_class("-narrow"):
                continue
            told = f"{number} {name}" + (f" {counts[page]}" if counts.get(page) else "")
            parts.append(Content.styled(told, "bold underline $text" if page == self.page else ""))
        tell_line(self.query_one("#train-tabs", Static), Content("   ").join(parts))

    def action_page(self, page: str) -> None:
        if self.current is None:
            return
        if page == "facts" and not self.has_class("-narrow"):
            self.query_one("#train-facts").focus()
            return
        inside = self.has_class("-narrow") or not self.query_one("#train-runs").has_focus
        self.add_class("-inside")
        self.query_one(ContentSwitcher).current = page
        self._show_run()
        if inside or self._has_cursor(page):
            self.call_after_refresh(self._focus_page)

    def _has_cursor(self, page: str) -> bool:
        """Whether the arrows mean something on a page, so that it is gone to at once; else they go through the runs."""
        history = self.current.history if self.current is not None else None
        if history is None:
            return False
        return bool(history.checkpoints if page == "checkpoints" else page == "answers" and history.samples)

    def _focus_page(self) -> None:
        self.call_after_refresh(self._show_run)  # what stands inside has its size only then
        pages: dict[str, Any] = {
            "curves": CurvesPane,
            "log": LogView,
            "answers": AnswersPage,
            "checkpoints": CheckpointsPage,
            "facts": "#facts FactsPane",
        }
        self.query_one(pages[self.page]).focus()

    def action_question(self, way: int) -> None:
        self.query_one(AnswersPage).action_question(way)

    # --- filter, search, back ---

    def action_search(self) -> None:
        if self.page == "log" and not self.query_one("#train-list").has_focus_within:
            self.query_one(LogPage).search()
            return
        self.remove_class("-inside")
        line = self.query_one("#train-filter", Input)
        line.display = True
        line.focus()

    @on(Input.Changed, "#train-filter")
    def _filtered(self) -> None:
        self._list_runs()

    @on(Input.Submitted, "#train-filter")
    def _filter_kept(self) -> None:
        self.query_one("#train-runs").focus()

    def action_back(self) -> None:
        """One step: out of the page, out of the filter, back to the chat."""
        line = self.query_one("#train-filter", Input)
        narrow_inside = self.has_class("-narrow") and self.has_class("-inside")
        if narrow_inside or self.query("#train-run:focus-within, #train-facts:focus"):
            self.remove_class("-inside")
            self.call_after_refresh(self.query_one("#train-runs").focus)
        elif line.display:
            line.value = ""
            line.display = False
            self.query_one("#train-runs").focus()
        else:
            self.app.pop_screen()

    # --- the line of keys ---

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        self._tell_keys(self.current)

    def _tell_keys(self, watched: Watched | None) -> None:
        keys = [_("n new")]
        if watched is not None:
            keys = [*self._place_keys(watched), *self._run_keys(watched), *keys]
        back = _("esc back") if self.query_one("#train-list").has_focus_within else _("esc list")
        kept = Content("  ").join(map(Content, [*keys, back, _("F1 all keys")]))
        width = max(1, self.size.width - 2)
        tell_line(self.query_one("#train-keys", Static), kept.truncate(width, ellipsis=True))

    def _place_keys(self, watched: Watched) -> list[str]:
        if self.query_one("#train-runs").has_focus:
            return [_("enter open"), *([] if watched.is_pipeline else [_("space overlay")])]
        if watched.is_pipeline and self.page != "log":
            return []
        match self.page:
            case "curves":
                return [_("←→ step"), _("+- zoom"), _("s smooth"), _("l log"), _("m metrics"), _("f alone")]
            case "log":
                return [_("/ search")]
            case "answers" if watched.stage != "sft":
                return [_("←→ question")]
            case "checkpoints" if self.checkpoint is not None:
                return [_("↑↓ checkpoint"), _("← list")]
            case _other:
                return []

    def _run_keys(self, watched: Watched) -> list[str]:
        if watched.is_pipeline:
            return self._pipeline_keys(watched)
        if watched.active:
            return [_("x stop"), _("w save"), _("v evaluate"), _("o chat"), _("t test")]
        resume = [] if watched.state == "finished" and self.page != "checkpoints" else [_("r resume")]
        return [_("o chat"), _("t test"), *resume, _("c duplicate"), _("e export"), _("d delete")]

    def _pipeline_keys(self, watched: Watched) -> list[str]:
        """What its steps have made can be used; the rest is done in their runs."""
        answers = answering_step(watched, self.watcher.runs) is not None
        tested = tested_step(watched, self.watcher.runs) is not None
        keys = [_("o chat")] if answers else []
        keys += [_("t report")] if tested else [_("t test")] if answers else []
        if watched.active:
            return [_("x stop"), *keys]
        resume = [] if watched.state == "finished" else [_("r resume")]
        return [*keys, *resume, *([_("e export")] if answers else []), _("d delete")]


def _waiting(watched: Watched) -> str:
    """What stands where there is no curve yet."""
    history = watched.history
    if history is None:
        return _("reading…")
    if watched.state == "queued":
        return _("It waits for its turn: another run has the device.")
    if watched.active:
        return STAGES[history.stage.stage] if history.stage else STAGES["importing"]
    return _("This run has no curve: it ended before its first step.")
