"""The presets of a form: one line each, and below them all that the highlighted one says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.config.sources import Preset
from core.untrusted import inert_line

_NAME = 16


class PresetOptions(OptionList):
    """The lines of the list. Down leads out of its end, to the rows of the form."""

    def action_cursor_down(self) -> None:
        if self.highlighted == self.option_count - 1:
            self.screen.focus_next()
        else:
            super().action_cursor_down()


class PresetList(Vertical):
    """Lists presets; says `Chosen`."""

    DEFAULT_CSS = """
    PresetList { height: auto; margin: 0 0 1 0; }
    PresetList OptionList, PresetList OptionList:focus {
        height: auto; max-height: 9; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-highlighted { background: $primary 10%; color: $text; text-style: none; }
    }
    PresetList OptionList:focus > .option-list--option-highlighted { background: $primary 25%; }
    PresetList .preset-about { display: none; height: auto; padding: 0 1 0 3; color: $text-muted; }
    PresetList.-current .preset-about { display: block; }
    """

    class Chosen(Message):
        """The form is to begin with this one."""

        def __init__(self, preset: Preset) -> None:
            super().__init__()
            self.preset = preset

    def __init__(self, presets: Sequence[Preset]) -> None:
        super().__init__()
        self._presets = presets

    def compose(self) -> ComposeResult:
        yield PresetOptions(*(Option(Content(preset.name)) for preset in self._presets), markup=False)
        yield Static(Content(""), classes="preset-about")

    @property
    def options(self) -> OptionList:
        return self.query_one(OptionList)

    def on_resize(self) -> None:
        for index, preset in enumerate(self._presets):
            name, about = (preset.name.ljust(_NAME), "bold"), (inert_line(preset.about), "$muted")
            line = Content.assemble(name, about).truncate(max(20, self.size.width - 3), ellipsis=True)
            self.options.replace_option_prompt_at_index(index, line)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one(".preset-about", Static).update(Content(inert_line(self._presets[event.option_index].about)))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._presets[event.option_index]))

    # A class, not `:focus-within`, which styles anew but lays out nothing.

    def on_descendant_focus(self) -> None:
        self.add_class("-current")

    def on_descendant_blur(self) -> None:
        self.remove_class("-current")
