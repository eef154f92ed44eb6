"""Choosing who answers: a model, one of its adapters, or in compare mode up to four of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from core.i18n import _
from core.models.catalog import ModelInfo
from core.serve.remote_address import shown_name
from core.untrusted import inert_line
from tui.widgets.dialogs import Dialog
from tui.widgets.inert_inputs import InertInput

MOST_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """Someone who can answer."""

    model: str
    adapter: str | None = None


def choices(models: Sequence[ModelInfo], served: Iterable[str] = ()) -> list[Choice]:
    """Every model, each followed by its adapters; then those that are served elsewhere."""
    return [
        choice
        for model in models
        for choice in (Choice(model.name), *(Choice(model.name, adapter.name) for adapter in model.adapters))
    ] + [Choice(name) for name in served]


class Picker(Dialog[list[Choice] | None]):
    """Lists models and adapters. Typing filters; enter takes the highlighted one, or in compare mode all the marked.

    Args:
        models: what there is.
        served: models of servers, by their one word.
        marked: who answers now; in compare mode they stand marked.
        many: compare mode: space marks and unmarks.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)"),
        ("down", "move(1)"),
        ("up", "move(-1)"),
        ("pagedown", "move(8)"),
        ("pageup", "move(-8)"),
    ]

    def __init__(
        self,
        models: Sequence[ModelInfo],
        marked: Sequence[Choice] = (),
        *,
        many: bool = False,
        served: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._all = choices(models, served)
        self._shown = self._all
        self._now = tuple(choice for choice in marked if choice in self._all)
        self._marked = list(self._now)
        self.many = many

    def compose(self) -> ComposeResult:
        title = _("Compare: who answers side by side?") if self.many else _("Who answers?")
        with Vertical(classes="dialog-box picker"):
            yield Static(Content(title), classes="dialog-title")
            yield Filter(placeholder=_("type to filter"))
            options = OptionList()
            options.can_focus = False
            yield options
            yield Static(Content(""), classes="dialog-keys")

    def on_mount(self) -> None:
        self._show(self._marked[-1] if self._marked else None)

    @property
    def _highlighted(self) -> Choice | None:
        index = self.query_one(OptionList).highlighted
        return self._shown[index] if index is not None and self._shown else None

    def _show(self, highlighted: Choice | None) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(Option(self._describe(choice)) for choice in self._shown)
        options.highlighted = self._shown.index(highlighted) if highlighted in self._shown else 0
        self.query_one(".dialog-keys", Static).update(Content(self._hint()))

    def _hint(self) -> str:
        if not self._all:
            return _("There is no model yet: F6 fetches one. esc leaves")
        if not self._shown:
            return _("Nothing has that name. esc leaves")
        if not self.many:
            return _("enter takes · esc leaves")
        return _("{n} of {most} marked · space marks · enter starts · esc leaves").format(
            n=len(self._marked), most=MOST_COLUMNS
        )

    def _describe(self, choice: Choice) -> Content:
        name = inert_line(choice.adapter or shown_name(choice.model))
        indent, style = ("  + ", "$text-accent") if choice.adapter else ("", "bold")
        if self.many:
            mark = f"[{self._marked.index(choice) + 1}] " if choice in self._marked else "[ ] "
            return Content.assemble((mark, "bold $text-success"), indent, (name, style))
        answers = ("  " + _("answers now"), "$text-muted") if choice in self._now else ""
        return Content.assemble(indent, (name, style), answers)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        self._shown = [
            choice
            for choice in self._all
            if all(word in f"{choice.model} {choice.adapter or ''}".lower() for word in words)
        ]
        self._show(self._shown[0] if self._shown else None)

    @on(Input.Submitted)
    def _take(self) -> None:
        chosen = self._highlighted
        if not self.many:
            self.dismiss([chosen] if chosen else None)
            return
        if len(self._marked) < 2 and chosen is not None and chosen not in self._marked:
            self._marked.append(chosen)
        if len(self._marked) >= 2:
            self.dismiss(self._marked)
        else:
            self.notify(_("Mark at least two with space."), severity="warning")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        if self.many:
            self.mark()
        else:
            self.dismiss([self._shown[event.option_index]])

    def mark(self) -> None:
        """Mark or unmark the highlighted one."""
        choice = self._highlighted
        if not self.many or choice is None:
            return
        if choice in self._marked:
            self._marked.remove(choice)
        elif len(self._marked) < MOST_COLUMNS:
            self._marked.append(choice)
        else:
            self.notify(_("Four columns are the most."), severity="warning")
        self._show(choice)

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        if self._shown:
            options.highlighted = min(max((options.highlighted or 0) + step, 0), len(self._shown) - 1)


class Filter(InertInput):
    """The picker's input: in compare mode a space marks instead of being typed."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "space" and isinstance(self.screen, Picker) and self.screen.many:
            event.stop()
            event.prevent_default()
            self.screen.mark()
