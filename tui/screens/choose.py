"""A list to take one from, or several: what an option can be, or is likely to be."""

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

    INPUT: ClassVar[type[InertInput]] = InertInput
    KEYS = _("enter takes · esc leaves")

    def __init__(self, title: str, words: Sequence[str], now: str = "") -> None:
        super().__init__()
        self._title_shown, self._words, self._now = title, list(words), now
        self._shown = self._words

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Static(Content(self._title_shown), classes="dialog-title")
            yield self.INPUT(placeholder=_("type to filter"))
            listed = OptionList(markup=False)
            listed.can_focus = False
            yield listed
            yield Static(Content(self.KEYS), classes="dialog-keys")

    def on_mount(self) -> None:
        self._show()
        self.query_one(Input).focus()

    def _show(self) -> None:
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options(Option(self._row(word)) for word in self._shown)
        if self._shown:
            listed.highlighted = self._shown.index(self._now) if self._now in self._shown else 0

    def _row(self, word: str) -> Content:
        return Content(inert_line(word))

    def _taken(self, index: int) -> str:
        return self._shown[index]

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
        self.dismiss(self._taken(index) if index is not None and self._shown else None)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._taken(event.option_index))

    def action_move(self, step: int) -> None:
        listed = self.query_one(OptionList)
        if self._shown:
            listed.highlighted = min(max((listed.highlighted or 0) + step, 0), len(self._shown) - 1)


class _MarkingInput(InertInput):
    """Takes no blanks: no name of a model or a set needs one to be found."""

    BINDINGS: ClassVar[list[BindingType]] = [("space", "screen.mark")]


class ChooseWords(ChooseWord):
    """Space marks as well; enter takes all that is marked, joined, or the highlighted word where nothing is."""

    INPUT = _MarkingInput
    KEYS = _("space marks · enter takes · esc leaves")

    def __init__(self, title: str, words: Sequence[str], now: str = "", *, separator: str = ",") -> None:
        chosen = [word.strip() for word in now.split(separator) if word.strip()]
        # What is there already can be taken away, also when nobody would suggest it.
        super().__init__(title, list(dict.fromkeys([*chosen, *words])), chosen[-1] if chosen else "")
        self._separator = separator
        self._marked = chosen

    def _row(self, word: str) -> Content:
        mark = ("[x] ", "bold $text-success") if word in self._marked else "[ ] "
        return Content.assemble(mark, inert_line(word))

    def action_mark(self) -> None:
        listed = self.query_one(OptionList)
        if listed.highlighted is None or not self._shown:
            return
        word = self._shown[listed.highlighted]
        if word in self._marked:
            self._marked.remove(word)
        else:
            self._marked.append(word)
        listed.replace_option_prompt_at_index(listed.highlighted, self._row(word))

    def _taken(self, index: int) -> str:
        return self._separator.join(self._marked or [self._shown[index]])
