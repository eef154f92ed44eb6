"""F1: every key and every slash command, from the one table of actions."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.i18n import _
from tui.actions import ACTIONS, Action, Scope, key_name

_TITLES: dict[Scope, str] = {
    "app": _("Everywhere"),
    "chat": _("In the chat"),
    "message": _("On a message (ctrl+up goes there, esc comes back)"),
}
_TYPING = (
    ("enter", _("send")),
    ("ctrl+j", _("new line")),
    ("up, down", _("earlier questions, at the input's first and last line")),
    ("/", _("slash commands, with completion by tab")),
    ("esc", _("stop the answer; from a panel or message: back to the input")),
    ("ctrl+c", _("copy a selection; else stop the answer")),
    ("shift+tab", _("go round: input, messages, panels")),
    ("ctrl+o", _("then c chat, m models: where function keys do not arrive")),
    ("ctrl+p", _("command palette")),
)


class HelpScreen(ModalScreen[None]):
    """Lists what can be done."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,f1,q", "dismiss(None)")]

    def __init__(self) -> None:
        super().__init__(classes="dialog")

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-box help"):
            yield Static(help_text())


def help_text() -> Content:
    """All of the help as one text."""
    parts: list[Content] = [_section(_("Typing"), list(_TYPING))]
    for scope, title in _TITLES.items():
        rows = [(_way_in(action), action.help) for action in ACTIONS if action.scope == scope and _way_in(action)]
        parts.append(_section(title, rows))
    return Content("\n\n").join(parts)


def _way_in(action: Action) -> str:
    slash = f"/{action.slash} {action.argument}".strip() if action.slash else ""
    return "  ".join(filter(None, (key_name(action.keys) if action.keys else "", slash)))


def _section(title: str, rows: list[tuple[str, str]]) -> Content:
    width = max(len(keys) for keys, _help in rows)
    lines = [Content.assemble((f"  {keys:<{width}}", "bold"), "  ", (text, "$text-muted")) for keys, text in rows]
    return Content("\n").join([Content.assemble((title, "bold $text-primary")), *lines])
