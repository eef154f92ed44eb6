"""A list to take one from: what an option can be, or is likely to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _
from core.untrusted import inert_line
from tui.widgets.dialogs import Dialog
from tui.widgets.inert_inputs import InertInput


class ChooseWord(Dialog[str | None]):
    """Typing filters; enter takes the highlighted word."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)"),
        ("down", "move(1)"),
        ("up", "move(-1)"),
    ]

    def __init__(self, title: str, words: Sequence[str], now: str = "") -> None:
        super().__init__()
        self._title_shown, self._words, self._now = title, list(words), now
        self._shown = self._words

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._title_shown), classes="dialog-title")
            yield InertInput(placeholder=_("type to filter"))
            listed = OptionList(markup=False)
            listed.can_focus = False
            yield listed
            yield Static(Content(_("enter takes · esc leaves")), classes="dialog-keys")

    def on_mount(self) -> None:
        self._show()
        self.query_one(Input).focus()

    def _show(self) -> None:
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options(Option(Content(inert_line(word))) for word in self._shown)
        if self._shown:
            listed.highlighted = self._shown.index(self._now) if self._now in self._shown else 0

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        event.stop()
        parts = event.value.casefold().split()
        self._shown = [word for word in self._words if all(part in word.casefold() for part in parts)]
        self._show()

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        event.stop()
        index = self.query_one(OptionList).highlighted
        self.dismiss(self._shown[index] if index is not None and self._shown else None)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index])

    def action_move(self, step: int) -> None:
        listed = self.query_one(OptionList)
        if self._shown:
            listed.highlighted = min(max((listed.highlighted or 0) + step, 0), len(self._shown) - 1)
