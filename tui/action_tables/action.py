"""What an action is: one thing that a user can do, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal[
    "app",
    "chat",
    "message",
    "train",
    "curves",
    "answers",
    "form",
    "train_form",
    "data",
    "judge",
    "evaluate",
    "evaluation",
    "report",
    "compare",
]
"""app: everywhere; chat: the chat screen; message: on the message that the transcript's cursor is at; train: the
Train screen; curves: where the keyboard is in its curves, answers: in its answers; form: the form of a training or an
evaluation, train_form: of a training alone; data: the Data screen; judge: the judging of pairs; evaluate: the Evaluate
screen, evaluation: the log and facts of one of its runs; report: the rows of one report; compare: a comparison of
reports."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a user can do; `name` is the suffix of the `action_…` method that does it."""

    name: str
    label: str
    help: str
    scope: Scope = "chat"
    keys: str = ""
    """Comma separated, in Textual's names."""
    slash: str = ""
    """Without the slash; empty: not reachable by typing."""
    argument: str = ""
    """How the slash command's argument is written: `NAME` needed, `[NAME]` optional, `a|b` a choice, empty: none."""
    completed: bool = False
    """In the palette too, its slash command is put into the input, to be completed."""
    words: tuple[str, ...] = ()
    """Typed alone into the chat, these do it too."""

    def takes_argument(self) -> bool:
        return bool(self.argument)

    def needs_argument(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")

    def choices(self) -> list[str]:
        """What the argument can be, if it is one of a few words."""
        return self.argument.strip("[]").split("|") if "|" in self.argument else []
