"""What a line typed into the chat means: a slash command, a word with a meaning, or a message.

A line that starts with two slashes is a message that starts with one.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UsageError, did_you_mean
from core.i18n import _
from tui.actions import Action, slash_commands, word_actions


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


def complete(text: str) -> list[tuple[str, str]]:
    """The commands that a half-typed line may become, as (text, help)."""
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    return [
        (f"/{word}" + (" " if action.takes_argument() else ""), action.help)
        for word, action in slash_commands().items()
        if word.startswith(text[1:])
    ]
