"""What a line typed into the chat means: a slash command, a word with a meaning, or a message.

A line that starts with two slashes is a message that starts with one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import UsageError, did_you_mean
from core.i18n import _
from tui.action_tables.action import Action
from tui.actions import slash_commands, word_actions

Option: TypeAlias = tuple[str, str]
"""What a line may become, and a help text for it."""
Values: TypeAlias = Callable[[], Sequence[Option]]
"""What an argument may be; one that ends in a space wants another behind it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A typed command and what stood after it."""

    action: Action
    argument: str


def parse(line: str) -> Command | str:
    """The command of a line, or the message to send.

    Raises:
        UsageError: no such slash command, its argument is missing, or it takes none.
    """
    text = line.strip()
    if action := word_actions().get(text):
        return Command(action, "")
    if not text.startswith("/"):
        return line
    if text.startswith("//"):
        return text[1:]
    word, _space, argument = text[1:].partition(" ")
    commands = slash_commands()
    if word not in commands:
        if "/" in word or "\n" in text:  # a path or a pasted text, not a command
            return line
        raise UsageError(
            _("no command /{word}").format(word=word),
            did_you_mean(word, commands) or _("/help lists the commands; // sends a message that starts with a slash"),
        )
    command = Command(commands[word], argument.strip())
    if command.action.needs_argument() and not command.argument:
        raise UsageError(_("/{word} needs {argument}").format(word=word, argument=command.action.argument))
    if command.argument and not command.action.takes_argument():
        raise UsageError(_("/{word} takes nothing behind it").format(word=word), _("send the rest as a message"))
    return command


def complete(text: str, values: Mapping[str, Values]) -> list[Option]:
    """What a half-typed command may become; what is there already in full comes first.

    Args:
        text: the line so far.
        values: by slash command, what its argument may be.
    """
    if not text.startswith("/") or "\n" in text:
        return []
    word, space, argument = text[1:].partition(" ")
    if not space:
        found = _commands(word)
    else:
        action = slash_commands().get(word)
        found = _arguments(action, argument, values) if action else []
    return sorted(found, key=lambda option: option[0].rstrip() != text.rstrip())


def _commands(start: str) -> list[Option]:
    return [
        (f"/{word}" + (" " if action.takes_argument() else ""), action.help)
        for word, action in slash_commands().items()
        if word.startswith(start)
    ]


def _arguments(action: Action, argument: str, values: Mapping[str, Values]) -> list[Option]:
    """The command with each argument that goes on as the half-typed one does; without any, if it can do without."""
    start = argument.rfind(" ") + 1 if "…" in action.argument else 0  # of the word that is being typed
    before, last = argument[:start], argument[start:]
    offered = values[action.slash]() if action.slash in values else [(choice, "") for choice in action.choices()]
    typed = f"/{action.slash} {before}"
    found = [(typed + value, told) for value, told in offered if value.startswith(last) and value not in before.split()]
    if found and not argument and not action.needs_argument():
        found.insert(0, (typed, action.help))
    return found
