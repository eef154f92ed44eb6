"""The chat's settings, on the right: the system prompt and how answers are made.

A change counts at once, for the next question; a value that is not possible is told beside its row and does not count.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, TextArea

from core.config.generation import GenerationOptions
from core.errors import ConfigError
from core.i18n import _
from core.untrusted import inert
from tui.forms import OptionForm
from tui.parameters import option_specs, texts, validated
from tui.widgets.inert_inputs import InertTextArea


class SystemPrompt(InertTextArea):
    """The system prompt. Typing goes on at its end."""

    BINDINGS: ClassVar[list[BindingType]] = [("ctrl+j,shift+enter,alt+enter", "new_line")]

    def on_mount(self) -> None:
        self.move_cursor(self.document.end)

    def action_new_line(self) -> None:
        self.insert("\n")


class SettingsPanel(Vertical):
    """Edits `GenerationOptions` and the system prompt."""

    DEFAULT_CSS = """
    SettingsPanel { width: 38; background: $surface; padding: 1 1 0 2; }
    SettingsPanel .panel-title { color: $text-primary; text-style: bold; }
    SettingsPanel TextArea, SettingsPanel TextArea:focus {
        height: 8; border: round $muted; padding: 0; margin: 0 1 1 0;
    }
    SettingsPanel TextArea:focus { border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave")]

    class Changed(Message):
        """Valid settings to use from now on."""

        def __init__(self, options: GenerationOptions) -> None:
            super().__init__()
            self.options = options

    class SystemChanged(Message):
        """Another system prompt."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The user wants back to the input."""

    def __init__(self, options: GenerationOptions, system: str) -> None:
        super().__init__()
        self._options = options
        self._system = inert(system).strip()

    def compose(self) -> ComposeResult:
        yield Static(Content(_("System prompt")), classes="panel-title")
        yield SystemPrompt(
            self._system, soft_wrap=True, tab_behavior="focus", placeholder=_("none · ctrl+j or enter: a new line")
        )
        yield Static(Content(_("How answers are made")), classes="panel-title")
        yield OptionForm(option_specs(), texts(self._options))

    def focus_first(self) -> None:
        """Put the keyboard into the panel."""
        self.query_one(TextArea).focus()

    def tell(self, options: GenerationOptions, system: str) -> None:
        """Show what was changed elsewhere: by a slash command, or because another conversation is open."""
        self._options, self._system = options, inert(system).strip()
        area = self.query_one(TextArea)
        if area.text.strip() != self._system:
            area.text = self._system
            area.move_cursor(area.document.end)
        self.query_one(OptionForm).tell(texts(options))

    @on(TextArea.Changed)
    def _system_typed(self, event: TextArea.Changed) -> None:
        event.stop()
        text = event.text_area.text.strip()
        if text != self._system:
            self._system = text
            self.post_message(self.SystemChanged(text))

    @on(OptionForm.Edited)
    def _edited(self, event: OptionForm.Edited) -> None:
        event.stop()
        form = self.query_one(OptionForm)
        try:
            options = validated(event.values)
        except ConfigError as error:
            form.show_problems(error.problems)
            return
        form.show_problems(())
        self.post_message(self.Changed(options))

    def action_leave(self) -> None:
        self.post_message(self.Left())
