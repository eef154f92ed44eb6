"""Exchanges as rows of data sets: in messages, as ShareGPT or as Alpaca, in the columns that a set's entry names.

The readers of these sets skip rows in which questions and answers do not alternate, so a question that got no answer
is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from core.chat.message import Message
from core.errors import SessionError, WorkspaceError
from core.i18n import _
from core.jsonl import Json

# How a set of role/content messages is described so that every version of LLaMA-Factory reads it: its `openai`
# formatting still expects the tags of ShareGPT.
OPENAI_TAGS: Mapping[str, str] = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
_SHAREGPT_TAGS: Mapping[str, str] = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}
ALPACA_COLUMNS: Mapping[str, str] = {"prompt": "instruction", "query": "input", "response": "output"}
MESSAGES_ENTRY: Json = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": dict(OPENAI_TAGS)}


def paired(messages: Sequence[Message]) -> list[Message]:
    """The system prompt, and questions each followed by its answer."""
    pairs = [pair for pair in pairwise(messages) if (pair[0].role, pair[1].role) == ("user", "assistant")]
    if not pairs:
        raise SessionError(_("no question has been answered yet"), _("ask something first"))
    system = [message for message in messages[:1] if message.role == "system"]
    return system + [message for pair in pairs for message in pair]


def row_of(name: str, entry: Json, exchange: Sequence[Message]) -> Json:
    """An exchange as a row of the data set `name`, whose entry in dataset_info.json says how.

    Raises:
        WorkspaceError: the set has no column for a part of it.
    """
    exchange = paired(exchange)
    if entry.get("formatting", "alpaca") == "alpaca":
        return alpaca_row(name, entry.get("columns") or ALPACA_COLUMNS, exchange)
    return sharegpt_row(entry, exchange)


def sharegpt_row(entry: Json, exchange: Sequence[Message]) -> Json:
    """All messages in one column, under the entry's tags; the system prompt in its own column where there is one."""
    columns = _given(entry.get("columns") or {})
    default_tags = OPENAI_TAGS if entry.get("formatting") == "openai" else _SHAREGPT_TAGS
    tags = {**default_tags, **_given(entry.get("tags") or {})}
    row: dict[str, Any] = {}
    if "system" in columns:
        row[columns["system"]] = "".join(message.content for message in exchange if message.role == "system")
        exchange = [message for message in exchange if message.role != "system"]
    row[columns.get("messages") or "conversations"] = [
        {tags["role_tag"]: tags[f"{message.role}_tag"], tags["content_tag"]: message.content} for message in exchange
    ]
    return row


def alpaca_row(name: str, columns: Mapping[str, str], exchange: Sequence[Message]) -> Json:
    """The last question and answer in columns of their own, the pairs before them as history."""
    columns = _given(columns)
    *before, question, answer = exchange
    system = "".join(message.content for message in before if message.role == "system")
    texts = [message.content for message in before if message.role != "system"]
    history = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    values = {
        "prompt": question.content,
        "query": "",
        "response": answer.content,
        "system": system,
        "history": history,
    }
    for column, value in values.items():
        if value and column not in columns:
            raise WorkspaceError(
                _("the data set {name!r} has no column for the {column}").format(name=name, column=column),
                _("add {column!r} to its columns in dataset_info.json, or choose another set").format(column=column),
            )
    return {columns[column]: value for column, value in values.items() if column in columns}


def _given(names: Mapping[str, str]) -> Mapping[str, str]:
    """Entries may say `null` for what their files do not have."""
    return {key: name for key, name in names.items() if name}
