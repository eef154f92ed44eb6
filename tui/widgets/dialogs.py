"""Small questions over a screen: yes or no, and one line of text.

A dialog is pushed by the key that asks for it, at once: what is typed right behind that key must not reach the screen
below. Mounting takes longer than the next key, so the question for a text keeps what comes too early.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen, ScreenResultType
from textual.widgets import Input, Static

from core.i18n import _
from tui.widgets.inert_inputs import InertInput


class Dialog(ModalScreen[ScreenResultType]):
    """A box over a screen; where there are few rows (`-short`), it does without frame and blank lines."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (15, "-tall")]  # noqa: RUF012  Textual declares no class variable

    def __init__(self) -> None:
        super().__init__(classes="dialog")


class Confirm(Dialog[bool]):
    """Asks before something is lost. Nothing happens unless `y` is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)"),
        ("n,escape,enter", "answer(False)"),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__()
        self._question = question
        self._detail = detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._question), classes="dialog-title")
            if self._detail:
                yield Static(Content(self._detail), classes="dialog-detail")
            yield Static(Content(_("y yes · n no")), classes="dialog-keys")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class AskText(Dialog[str | None]):
    """Asks for one line of text; escape gives None."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._early = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._question), classes="dialog-title")
            yield InertInput(self._value, select_on_focus=False)
            yield Static(Content(_("enter takes it · esc leaves")), classes="dialog-keys")

    def on_mount(self) -> None:
        text = self.query_one(Input)
        if self._early:
            text.value = self._early
            text.cursor_position = len(self._early)
        else:
            text.select_all()  # typing replaces the value
        text.focus()

    def on_key(self, event: events.Key) -> None:
        """A key that found no input yet, or was on its way to the screen below when this dialog came."""
        if not event.is_printable or event.character is None:
            return
        event.stop()
        if self.is_mounted and self.focused is not None:
            self.query_one(Input).insert_text_at_cursor(event.character)
        else:
            self._early += event.character

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class Chord(Dialog[str | None]):
    """ctrl+o: the next letter says where to go, where function keys do not arrive."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("c", "dismiss('chat')"),
        ("t", "dismiss('train')"),
        ("e", "dismiss('evaluate')"),
        ("d", "dismiss('data')"),
        ("m", "dismiss('models')"),
        ("escape,ctrl+o", "dismiss(None)"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(_("Go to")), classes="dialog-title")
            yield Static(Content(_("c  Chat\nt  Train\ne  Evaluate\nd  Data\nm  Models")))
