"""F1: every key and every slash command, from the one table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from tui.action_tables.action import Action, Scope
from tui.actions import ACTIONS, key_name
from tui.widgets.dialogs import Dialog
from tui.widgets.lines import break_offsets

_TITLES: dict[Scope, str] = {
    "app": _("Everywhere"),
    "chat": _("In the chat"),
    "message": _("On a message (ctrl+up goes there, esc comes back)"),
    "train": _("On the Train screen"),
    "curves": _("In its curves (tab goes there)"),
    "answers": _("In its answers, where they have rewards"),
    "form": _("In the form of a training or an evaluation"),
    "train_form": _("In the form of a training"),
    "data": _("On the Data screen"),
    "judge": _("Where pairs of answers are judged"),
    "evaluate": _("On the Evaluate screen"),
    "evaluation": _("On the log of an evaluation (esc comes back)"),
    "report": _("In a report"),
    "compare": _("In a comparison of reports"),
}
_KEYS_WIDTH = 30

_TYPING = (
    ("enter", _("send")),
    ("ctrl+j", _("new line")),
    ("up, down", _("earlier questions, at the input's first and last line")),
    ("pageup, pagedown", _("scroll the conversation; ctrl+home, ctrl+end: to its ends")),
    ("/", _("slash commands, with completion by tab")),
    ("esc", _("stop the answer; from a panel or message: back to the input")),
    ("ctrl+c", _("copy a selection; else stop the answer")),
    ("shift+tab", _("go round: input, messages, panels")),
    ("ctrl+o", _("then c chat, t train, e evaluate, d data, m models: where function keys do not arrive")),
    ("ctrl+p", _("command palette")),
)


class HelpScreen(Dialog[None]):
    """Lists what can be done."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,f1,q", "dismiss(None)")]

    def compose(self) -> ComposeResult:
        below = self.app.screen_stack[-2]
        with VerticalScroll(classes="dialog-box help"):
            yield HelpText(getattr(below, "SCOPES", ()))


class HelpText(Static):
    """The help, wrapped beside its keys to the width that there is.

    Args:
        first: the scopes of the screen that it was asked on: their keys are what is looked for.
    """

    def __init__(self, first: Sequence[Scope] = ()) -> None:
        super().__init__()
        self._first = first

    def on_resize(self) -> None:
        self.update(help_text(self.size.width, self._first))


def help_text(width: int, first: Sequence[Scope] = ()) -> Content:
    """All of the help as one text.

    Args:
        width: cells that a line may take.
        first: what it begins with; the rest is in its usual order.
    """
    here = [_scope_section(scope, width) for scope in first]
    rest = [_scope_section(scope, width) for scope in _TITLES if scope not in first]
    return Content("\n\n").join([*here, _section(_("Typing"), list(_TYPING), width), *rest])


def _scope_section(scope: Scope, width: int) -> Content:
    rows = [(_way_in(action), action.help) for action in ACTIONS if action.scope == scope and _way_in(action)]
    return _section(_TITLES[scope], rows, width)


def _way_in(action: Action) -> str:
    slash = f"/{action.slash} {action.argument}".strip() if action.slash else ""
    return "  ".join(filter(None, (key_name(action.keys) if action.keys else "", slash)))


def _section(title: str, rows: list[tuple[str, str]], width: int) -> Content:
    keys_width = min(_KEYS_WIDTH, max(cell_len(keys) for keys, _text in rows))
    lines = [line for keys, text in rows for line in _row(keys, text, keys_width, width)]
    return Content("\n").join([Content.assemble((title, "bold $text-primary")), *lines])


def _row(keys: str, text: str, keys_width: int, width: int) -> list[Content]:
    """The keys, and the text beside them, or below where the keys are long."""
    indent = " " * (keys_width + 2)
    pieces = [text[start:end] for start, end in break_offsets(text, max(16, width - len(indent)))]
    if cell_len(keys) > keys_width:
        first = Content.assemble((keys, "bold"))
    else:
        gap = " " * (len(indent) - cell_len(keys))
        first = Content.assemble((keys, "bold"), gap, (pieces.pop(0), "$muted"))
    return [first, *(Content.assemble(indent, (piece, "$muted")) for piece in pieces)]
