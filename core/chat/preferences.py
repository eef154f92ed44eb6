"""Preferences: of two answers to one prompt, the better one. Compare mode collects them; DPO trains on them.

A row is `prompt` (messages), `chosen` and `rejected` (one message each), which LLaMA-Factory reads as a ranking set
through the entry that is made here, and TRL's trainers take with both answers put in lists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.chat.message import Message
from core.chat.rows import OPENAI_TAGS
from core.data.dataset_file import append_row, check_name, locked, register, replace_file
from core.errors import WorkspaceError
from core.i18n import _
from core.jsonl import Json

_ENTRY: Json = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
    "tags": dict(OPENAI_TAGS),
}


def append_preference(
    path: Path,
    prompt_messages: Sequence[Message],
    chosen: str,
    rejected: str,
    meta: Mapping[str, str] | None = None,
) -> None:
    """Keep which answer is better, and enter the data set if it is a new one.

    Args:
        path: the set's file in the workspace's `data/`, as `preferences.jsonl`; its stem is the set's name.
        prompt_messages: system prompt, history and question, as they were before the better answer.
        meta: where the answers come from; texts only, so that a column has one type in all rows.

    Raises:
        WorkspaceError: there is no better one of these two, or the file cannot be written.
    """
    check_name(path.stem)
    row = _row(prompt_messages, chosen, rejected)
    with locked(path.parent):
        append_row(path, {**row, "meta": dict(meta)} if meta else row)
        register(path.parent, path.stem, {"file_name": path.name, **_ENTRY})


def drop_preferences(path: Path, **meta: str) -> int:
    """Take back the rows whose `meta` has all these values; returns how many there were.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    with locked(path.parent):
        if not path.exists():
            return 0
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not _has_meta(line, meta)]
        if len(kept) < len(lines):
            replace_file(path, b"".join(kept))
        return len(lines) - len(kept)


def _has_meta(line: bytes, meta: Mapping[str, str]) -> bool:
    try:
        found = json.loads(line)["meta"]
        return all(found[name] == value for name, value in meta.items())
    except (ValueError, LookupError, TypeError, RecursionError):  # a row of somebody else's
        return False


def _row(prompt: Sequence[Message], chosen: str, rejected: str) -> Json:
    if not prompt or prompt[-1].role != "user":
        raise WorkspaceError(_("a preference needs a question that both answers belong to"))
    if chosen == rejected or not chosen.strip() or not rejected.strip():
        raise WorkspaceError(_("the two answers are the same, or one is empty: there is no better one to keep"))
    return {
        "prompt": [_message(message) for message in prompt],
        "chosen": _message(Message("assistant", chosen)),
        "rejected": _message(Message("assistant", rejected)),
    }


def _message(message: Message) -> Json:
    return {"role": message.role, "content": message.content}
