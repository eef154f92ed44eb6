"""The log and the facts of one evaluation, as its run goes on; they are the pages that trainings have."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import ContentSwitcher

from core.i18n import _
from core.workspace import Workspace
from tui.actions import bindings
from tui.run_watcher import RunWatcher, Watched, watcher_of
from tui.widgets.facts_pane import FactsPane
from tui.widgets.fitted_line import FittedLine
from tui.widgets.log_page import LogPage
from tui.widgets.log_view import LogView
from tui.widgets.run_rows import facts, progress_line
from tui.widgets.status_bar import SharedStatusBar

_DRAW_SECONDS = 1.0
_PAGES = {"log": _("log"), "facts": _("facts")}


class EvaluationRunScreen(Screen[None]):
    """Shows an evaluation by its run's folder."""

    AUTO_FOCUS = ""
    SCOPES: ClassVar[tuple[str, ...]] = ("evaluation",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("evaluation"),
        Binding("escape", "app.pop_screen", _("Back"), show=False),
    ]
    DEFAULT_CSS = """
    EvaluationRunScreen ContentSwitcher { height: 1fr; }
    EvaluationRunScreen #run-tabs { color: $text-muted; }
    EvaluationRunScreen #run-keys { background: $panel; color: $text-muted; }
    """

    def __init__(self, workspace: Workspace, run: Path, page: str) -> None:
        super().__init__()
        self.workspace = workspace
        self._run = run
        self._page = page if page in _PAGES else "log"
        self._drawn_at = 0.0
        self._timer: Timer | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def watcher(self) -> RunWatcher:
        return watcher_of(self.app)

    @property
    def watched(self) -> Watched | None:
        return self.watcher.runs.get(self._run)

    def compose(self) -> ComposeResult:
        yield FittedLine(id="run-head")
        yield FittedLine(id="run-tabs")
        with ContentSwitcher(initial=self._page):
            with Vertical(id="log"):
                yield LogPage()
            with Vertical(id="facts"):
                yield FactsPane()
        yield FittedLine(id="run-keys")
        yield SharedStatusBar()

    def on_mount(self) -> None:
        self._unsubscribe = self.watcher.subscribe(self._changed)
        self.query_one("#run-keys", FittedLine).drawn = lambda _width: Content(
            _("1 log  2 facts  / search  esc back  F1 all keys")
        )
        self.action_page(self._page)

    def on_unmount(self) -> None:
        self._unsubscribe()

    def _changed(self, _listed: bool) -> None:
        if self.is_mounted and self.display and self._timer is None:
            wait = max(0.01, _DRAW_SECONDS - (time.monotonic() - self._drawn_at))
            self._timer = self.set_timer(wait, self._draw)

    def _draw(self) -> None:
        self._timer, self._drawn_at = None, time.monotonic()
        watched = self.watched
        if watched is None:  # deleted elsewhere
            self.dismiss(None)
            return
        self.query_one("#run-head", FittedLine).drawn = lambda width: progress_line(watched, width)
        tabs = [
            Content.styled(f"{number} {name}", "bold underline $text" if page == self._page else "")
            for number, (page, name) in enumerate(_PAGES.items(), start=1)
        ]
        self.query_one("#run-tabs", FittedLine).drawn = lambda _width: Content("   ").join(tabs)
        if self._page == "log":
            self.query_one(LogPage).show(watched.run.log)
        else:
            self.query_one(FactsPane).show(facts(watched, max(20, self.size.width - 4)))

    def action_page(self, page: str) -> None:
        self._page = page
        self.query_one(ContentSwitcher).current = page
        self._draw()
        self.call_after_refresh(self.query_one(LogView if page == "log" else FactsPane).focus)

    def action_search(self) -> None:
        """Search in the log."""
        if self._page != "log":
            self.action_page("log")
        self.query_one(LogPage).search()
