"""How a turn of a conversation looks in the transcript: its title, badges and footer."""

from __future__ import annotations

from core.chat.message import FinishReason, Usage
from core.chat.session import Conversation, Turn
from core.i18n import _
from core.serve.remote_address import shown_name
from tui.widgets.entry import Entry

_MARKS: dict[FinishReason, str] = {
    "stop": "",
    "length": _("cut: the answer reached its length limit"),
    "stopped": _("stopped by you"),
    "error": _("ended by an error"),
}


def entry_of(conversation: Conversation, turn: Turn, name: str = "") -> Entry:
    """The entry of a turn, its key being the turn's id.

    Args:
        conversation: where the turn's branches and rating are looked up.
        turn: the turn.
        name: what to call an assistant; empty: the turn's own model and adapter.
    """
    return Entry(
        key=turn.id,
        role=turn.role,
        text=turn.content,
        title=_("you") if turn.role == "user" else name or speaker(turn.model, turn.adapter),
        badge="  ".join(filter(None, (branch_mark(conversation, turn), rating_mark(conversation, turn)))),
        footer=footer(turn),
    )


def speaker(model: str, adapter: str | None) -> str:
    """Who answers: `model`, `model + adapter`, or `NAME @ host` for a served one."""
    return f"{model} + {adapter}" if adapter else shown_name(model) or _("assistant")


def branch_mark(conversation: Conversation, turn: Turn) -> str:
    """`‹2/3›` for the second of three versions; empty when there is one."""
    branches = conversation.branches(turn.id)
    if len(branches) < 2:
        return ""
    return f"‹{[branch.id for branch in branches].index(turn.id) + 1}/{len(branches)}›"


def rating_mark(conversation: Conversation, turn: Turn) -> str:
    """`good`, `bad` or nothing, as the user said."""
    match conversation.rating(turn.id):
        case "good":
            return _("✓ good")
        case "bad":
            return _("✗ bad")
        case _other:
            return ""


def footer(turn: Turn) -> str:
    """What the answer took and how it ended."""
    mark = _MARKS[turn.finish_reason] if turn.finish_reason else ""
    return " · ".join(filter(None, (usage_text(turn.usage) if turn.usage else "", mark)))


def usage_text(usage: Usage) -> str:
    """`42 tok · first 0.31s · 38.2 tok/s · 1.4s`."""
    parts = [
        _("{n} tok").format(n=usage.answer_tokens),
        _("first {seconds:.2f}s").format(seconds=usage.first_token_seconds),
        _("{speed:.1f} tok/s").format(speed=usage.tokens_per_second) if usage.answer_tokens > 1 else "",
        _("{seconds:.1f}s").format(seconds=usage.seconds),
    ]
    return " · ".join(filter(None, parts))
