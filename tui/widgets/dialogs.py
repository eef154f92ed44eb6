"""Small questions over a screen: yes or no, and one line of text."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from core.i18n import _
from tui.widgets.inert_inputs import InertInput


class Confirm(ModalScreen[bool]):
    """Asks before something is lost. Nothing happens unless `y` is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)"),
        ("n,escape,enter", "answer(False)"),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__(classes="dialog")
        self._question = question
        self._detail = detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._question), classes="dialog-title")
            if self._detail:
                yield Static(Content(self._detail), classes="dialog-detail")
            yield Static(Content(_("y yes    n no")), classes="dialog-keys")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class AskText(ModalScreen[str | None]):
    """Asks for one line of text; escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__(classes="dialog")
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._question), classes="dialog-title")
            yield InertInput(self._value)
            yield Static(Content(_("enter keep    esc leave as it is")), classes="dialog-keys")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class Chord(ModalScreen[str | None]):
    """ctrl+o: the next letter says where to go, where function keys do not arrive."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("c", "dismiss('chat')"),
        ("m", "dismiss('models')"),
        ("escape,ctrl+o", "dismiss(None)"),
    ]

    def __init__(self) -> None:
        super().__init__(classes="dialog")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(_("Go to")), classes="dialog-title")
            yield Static(Content(_("c  Chat\nm  Models")))
