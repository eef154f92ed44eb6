"""F4: the evaluations, running and ended, as a table of their reports."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from core.i18n import _
from core.workspace import Workspace
from tui.actions import bindings
from tui.widgets.status_bar import SharedStatusBar


class EvaluateScreen(Screen[None]):
    """Lists reports."""

    SCOPES = ("evaluate",)
    BINDINGS: list[BindingType] = [*bindings("evaluate"), Binding("escape", "app.pop_screen", _("Back"), show=False)]  # noqa: RUF012

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        yield Static(Content(_("Evaluations")))
        yield SharedStatusBar()
