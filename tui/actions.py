"""Every action of the app once: its name, keys, slash command, label and help.

The key bindings, the command palette, the slash commands, the F1 page and the words of a chat (`clear`, `stop`,
`exit`) are renderings of this table, so none of them can promise what another does not do. They keep its order, in
which what is wanted most often comes first.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui.action_tables.action import Action, Scope
from tui.action_tables.chat import CHAT
from tui.action_tables.data import DATA
from tui.action_tables.evaluate import EVALUATE
from tui.action_tables.train import TRAIN

ACTIONS: tuple[Action, ...] = (*CHAT, *DATA, *TRAIN, *EVALUATE)


def bindings(scope: Scope) -> list[BindingType]:
    """Textual's bindings of a scope. Those of app, chat, form and judging come before keys of what has the focus."""
    where = "screen." if scope == "message" else ""
    first = scope in ("app", "chat", "form", "train_form", "judge")
    return [
        Binding(action.keys, where + action.name, action.label, show=False, priority=first, tooltip=action.help)
        for action in ACTIONS
        if action.scope == scope and action.keys
    ]


def slash_commands() -> dict[str, Action]:
    """The actions that can be typed, by the word after the slash."""
    return {action.slash: action for action in ACTIONS if action.slash}


def word_actions() -> dict[str, Action]:
    """The actions that a word typed alone does: `clear`, `stop`, `exit`."""
    return {word: action for action in ACTIONS for word in action.words}


def key_name(keys: str) -> str:
    """The first key of a binding as people write it: `ctrl+up`, `F9`."""
    first = keys.split(",")[0]
    return first.upper() if first.startswith("f") and first[1:].isdigit() else first
