"""A form made from the declarations of its options: one row each, with help, bounds, and what is wrong beside it.

The form knows texts only. Whoever shows it hands the texts to `core.config`, as a command line or a file would be, and
gives the problems back; so a form, a file and a command line can never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from core.config.fields import FieldSpec
from core.errors import Problem
from core.i18n import _
from tui.widgets.inert_inputs import InertInput


class OptionRow(Vertical):
    """One option: its name, its value as text, and below it the help or the problem."""

    DEFAULT_CSS = """
    OptionRow { height: auto; }
    OptionRow .option-name { width: 1fr; color: $text-muted; }
    OptionRow Input { background: $panel; }
    OptionRow Input:focus { background: $primary 25%; }
    OptionRow .option-note { height: auto; color: $text-muted; display: none; padding: 0 0 0 1; }
    OptionRow.-current .option-note, OptionRow.-wrong .option-note { display: block; }
    OptionRow.-wrong .option-note { color: $text-error; }
    """

    def __init__(
        self,
        spec: FieldSpec,
        value: str,
        suggested: Sequence[str] = (),
        *,
        unset: str = _("left to the model"),
        empty: str = _("none"),
    ) -> None:
        """Args:
        unset: what stands where None is a value of its own.
        empty: what stands where other options are empty.
        """
        super().__init__()
        self.spec = spec
        self._suggested = suggested
        self.input = InertInput(
            value,
            placeholder=unset if spec.optional else empty,
            suggester=SuggestFromList(self.words) if self.words else None,
            select_on_focus=False,
        )
        self._note = Static(self._help(), classes="option-note")
        self._problem: Problem | None = None

    def compose(self) -> ComposeResult:
        yield Static(Content(self.spec.name), classes="option-name")
        yield self.input
        yield self._note

    @property
    def words(self) -> Sequence[str]:
        """What the value can be, or is likely to be."""
        return self.spec.choices or (("true", "false") if self.spec.kind == "switch" else self._suggested)

    def suggest(self, words: Sequence[str]) -> None:
        """Offer other words from now on."""
        if list(words) != list(self._suggested):
            self._suggested = words
            self.input.suggester = SuggestFromList(self.words) if self.words else None

    def _help(self) -> Content:
        default = self.spec.shown_default
        facts = _("default: {value}").format(value=default) if default else ""
        return Content(" · ".join(filter(None, (self.spec.help.rstrip("."), str(self.spec.bounds), facts))))

    # A class, not `:focus-within`, which styles anew but lays out nothing.

    def on_descendant_focus(self) -> None:
        self.add_class("-current")

    def on_descendant_blur(self) -> None:
        self.remove_class("-current")

    def tell(self, text: str) -> None:
        """Show another text; typing goes on at its end."""
        self.input.value = text
        self.input.cursor_position = len(text)

    def show_problem(self, problem: Problem | None) -> None:
        """Show what is wrong in the help's place, or the help again."""
        if problem == self._problem:  # an update lays the whole form out anew
            return
        self._problem = problem
        self.set_class(problem is not None, "-wrong")
        text = ": ".join(filter(None, (problem.what, problem.hint))) if problem else ""
        self._note.update(Content(text) if problem else self._help())


class OptionForm(VerticalScroll, can_focus=False):
    """Rows of options. Says `Edited` with all texts that differ from what the form began with, at each change."""

    DEFAULT_CSS = """
    OptionForm { height: 1fr; }
    """

    class Edited(Message):
        """The texts changed; `values` has the text of every option, by name."""

        def __init__(self, values: dict[str, str]) -> None:
            super().__init__()
            self.values = values

    def __init__(self, specs: Sequence[FieldSpec], values: Mapping[str, str]) -> None:
        super().__init__()
        self._specs = specs
        self._values = dict(values)

    def compose(self) -> ComposeResult:
        for spec in self._specs:
            yield OptionRow(spec, self._values.get(spec.name, spec.shown_default))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        rows = {row.spec.name: row.input.value for row in self.query(OptionRow)}
        values = {**self._values, **rows}
        if values != self._values:
            self._values = values
            self.post_message(self.Edited(values))

    @on(DescendantFocus)
    def _focused(self, event: DescendantFocus) -> None:
        if event.widget.parent is not None and isinstance(event.widget.parent, OptionRow):
            self.call_after_refresh(event.widget.parent.scroll_visible)  # with the help, which is laid out next

    def tell(self, values: Mapping[str, str]) -> None:
        """Show other texts, without saying `Edited`."""
        self._values = dict(values)
        for row in self.query(OptionRow):
            row.tell(self._values[row.spec.name])
        self.show_problems(())

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """Put each problem at its row; rows without one show their help again."""
        wrong = {problem.where: problem for problem in problems}
        for row in self.query(OptionRow):
            row.show_problem(wrong.get(row.spec.name))
