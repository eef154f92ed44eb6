"""The first frame: an input that one can type into, while the rest of the app is still being imported.

Importing the chat costs 130 ms of CPU, which would be a third of the time to the first frame. So this screen stands
first, with the same input and the same line at the bottom, and gives way to the chat with all that was typed.
"""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen

from core.i18n import _
from tui.widgets.prompt_input import PromptInput
from tui.widgets.status_bar import Status, StatusBar


class OpeningScreen(Screen[None]):
    """Looks like an empty chat."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        """What was sent before the chat was there."""

    def compose(self) -> ComposeResult:
        yield Vertical(id="columns")
        yield make_input()
        yield make_status_bar()

    def on_mount(self) -> None:
        self.query_one(PromptInput).focus()

    @on(PromptInput.Submitted)
    def _submitted(self, event: PromptInput.Submitted) -> None:
        self.sent.append(event.text)


def make_input() -> PromptInput:
    """The input of the chat."""
    return PromptInput(placeholder=_("message   enter sends · ctrl+j new line · / commands · F1 help"))


def make_status_bar() -> StatusBar:
    """The line at the bottom, before there is much to tell."""
    bar = StatusBar()
    bar.set_reactive(StatusBar.status, Status(hint=_("F1 help")))
    return bar
