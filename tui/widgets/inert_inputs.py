"""Inputs that take in nothing a terminal would obey.

Textual's own show a text as it is, escape sequences and all; titles and system prompts come from files that others
wrote, and pastes from anywhere. Here every text is made inert on its way in, and no cursor blinks: an idle app writes
nothing. Where there are lines, the line breaks of a paste stay: xterm and tmux send them as carriage returns. Keys are
taken in the order in which they were pressed, whatever they are bound to.
"""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.widgets.text_area import Edit, EditResult

from core.untrusted import inert, inert_line


class InertInput(Input):
    """One line."""

    def __init__(self, value: str = "", **options: Any) -> None:
        super().__init__(value, **options)
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        return inert_line(value)

    async def _on_key(self, event: events.Key) -> None:
        await run_own_binding(self, event)


class InertTextArea(TextArea):
    """Several lines."""

    def __init__(self, text: str = "", **options: Any) -> None:
        super().__init__(text, **options)
        self.cursor_blink = False

    # Text comes in through these only

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(inert_lines(text), language)

    def edit(self, edit: Edit) -> EditResult:
        """Performs an edit with its text made inert."""
        edit.text = inert_lines(edit.text)
        return super().edit(edit)

    async def _on_key(self, event: events.Key) -> None:
        await run_own_binding(self, event)


async def run_own_binding(widget: Widget, event: events.Key) -> None:
    """Do what a key is bound to in the widget that has the focus, before the next key is looked at.

    Textual asks for bindings when the key has gone up to the app. Letters are taken at once, so those typed behind a
    backspace overtook it whenever a slow line delivered them together.
    """
    for binding in widget._bindings.key_to_bindings.get(event.key, ()):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return


def inert_lines(text: str) -> str:
    """The text made inert, whatever ends its lines."""
    return inert(text.replace("\r\n", "\n").replace("\r", "\n"))
