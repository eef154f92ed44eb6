"""Preferences: of two answers to one prompt, the better one. Compare mode collects them; DPO trains on them.

A row is `prompt` (messages), `chosen` and `rejected` (one message each), which LLaMA-Factory reads as a ranking set
through the entry that is made here, and TRL's trainers take with both answers put in lists.
"""

from __future__ import annotations

from pathlib import Path

from core.chat.dataset_file import append_row, locked, register
from core.chat.message import Message
from core.chat.rows import OPENAI_TAGS
from core.chat.session import Conversation, Turn
from core.errors import WorkspaceError
from core.i18n import _
from core.jsonl import Json

NAME = "preferences"
"""The data set's name; its file is NAME.jsonl."""

_ENTRY: Json = {
    "file_name": f"{NAME}.jsonl",
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
    "tags": dict(OPENAI_TAGS),
}


def append_preference(folder: Path, conversation: Conversation, chosen: Turn, rejected: Turn) -> Path:
    """Keep which of two answers is better, and enter the data set if it is a new one.

    Args:
        folder: the workspace's `data/`.
        chosen: the better answer; its history and question are the prompt.

    Returns:
        The data set's file.

    Raises:
        WorkspaceError: there is no better one of these two, or the file cannot be written.
    """
    row = preference_row(conversation, chosen, rejected)
    path = folder / f"{NAME}.jsonl"
    with locked(folder):
        append_row(path, row)
        register(folder, NAME, _ENTRY)
    return path


def preference_row(conversation: Conversation, chosen: Turn, rejected: Turn) -> Json:
    """The row of a pair; beside it stands which models gave the answers, always in the same columns of text."""
    prompt = conversation.messages_before(chosen.id)
    if not prompt or prompt[-1].role != "user":
        raise WorkspaceError(_("a preference needs a question that both answers belong to"))
    if chosen.content == rejected.content or not chosen.content.strip() or not rejected.content.strip():
        raise WorkspaceError(_("the two answers are the same, or one is empty: there is no better one to keep"))
    return {
        "prompt": [_message(message) for message in prompt],
        "chosen": _message(Message("assistant", chosen.content)),
        "rejected": _message(Message("assistant", rejected.content)),
        "chosen_by": _speaker(chosen),
        "rejected_by": _speaker(rejected),
        "session": conversation.path.stem if conversation.path else "",
    }


def _message(message: Message) -> Json:
    return {"role": message.role, "content": message.content}


def _speaker(turn: Turn) -> str:
    return " + ".join(name for name in (turn.model, turn.adapter) if name)
