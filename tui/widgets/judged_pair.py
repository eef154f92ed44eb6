"""What somebody who judges has before their eyes: the prompt, an answer, and at the end what came out."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.chat.message import Message
from core.i18n import _
from core.judging.pair import Answer
from tui.widgets.entry import Entry
from tui.widgets.transcript import Transcript


class JudgedPrompt(Transcript):
    """The conversation up to the question; the question is in view."""

    def show(self, messages: Sequence[Message]) -> None:
        """Show another prompt."""
        self.clear()
        self.following = True
        titles = {"user": _("question"), "assistant": _("answer"), "system": ""}
        self.extend(
            Entry(str(number), message.role, message.content, title=titles[message.role])
            for number, message in enumerate(messages)
        )


class JudgedAnswer(Transcript):
    """One of two answers, from its beginning.

    Args:
        side: what stands above it: where it stands, and its key.
    """

    def __init__(self, side: str, *, id: str) -> None:
        super().__init__(id=id)
        self._side = side

    def show(self, answer: Answer) -> None:
        """Show another answer. Nothing of it but its text: who gave it would be no secret any more."""
        cut = _("cut: the answer reached its length limit") if answer.truncated else ""
        self.clear()
        self.following = False
        self.extend([Entry("answer", "assistant", answer.text, title=self._side, footer=cut)])
        self.action_top()


class JudgingSummary(VerticalScroll, can_focus=True):
    """What came out, and now the names."""

    DEFAULT_CSS = """
    JudgingSummary { padding: 1 2; }
    JudgingSummary Static { width: 100%; height: auto; }
    """

    def compose(self) -> ComposeResult:
        yield Static(Content(""))

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines."""
        head = Content.styled(_("All pairs are judged."), "bold")
        self.query_one(Static).update(Content("\n").join([head, Content(""), *map(Content, lines)]))
