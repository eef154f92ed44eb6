"""The log page: the end of the run's output, and a line to search in it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from core.i18n import _, plural
from tui.widgets.inert_inputs import InertInput
from tui.widgets.log_view import LogView


class LogSearch(InertInput):
    """What is searched for. Enter and up go to the match above, down to the one below."""

    BINDINGS: ClassVar[list[BindingType]] = [("up,enter", "go(-1)"), ("down", "go(1)"), ("escape", "leave")]

    def action_go(self, way: int) -> None:
        self.screen.query_one(LogView).next_match(way)

    def action_leave(self) -> None:
        self.value = ""
        self.display = False
        self.screen.query_one(LogView).focus()


class LogPage(Vertical):
    """A `LogView`, and the search below it while one searches."""

    DEFAULT_CSS = """
    LogPage { height: 1fr; padding: 0 0 0 1; }
    LogPage LogSearch, LogPage LogSearch:focus { display: none; height: 1; border: none; background: $boost; }
    LogPage #log-found { display: none; height: 1; padding: 0 1; color: $text-muted; }
    """

    def compose(self) -> ComposeResult:
        yield LogView()
        yield Static(Content(""), id="log-found")
        yield LogSearch(placeholder=_("search in the log"))

    def show(self, path: Path) -> None:
        """Show the end of this file, and what came since."""
        view = self.query_one(LogView)
        view.show(path)
        view.read_on()

    def search(self) -> None:
        """Type to search."""
        line = self.query_one(LogSearch)
        line.display = True
        line.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        count = self.query_one(LogView).search(event.value)
        found = self.query_one("#log-found", Static)
        found.display = bool(event.value)
        found.update(Content(plural("{count} line · up, down", "{count} lines · up, down", count)))
