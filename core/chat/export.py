"""Conversations in the forms that other programs read, and exchanges as rows of data sets.

`messages` and `markdown` give the line as it is; `sharegpt` and `alpaca` are training formats, and hold only questions
that were answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from core.chat.message import Message
from core.chat.rows import ALPACA_COLUMNS, MESSAGES_ENTRY, alpaca_row, paired, row_of, sharegpt_row
from core.chat.session import Conversation
from core.data.dataset_file import append_row, check_name, first_row, locked, read_info, register
from core.errors import SessionError, WorkspaceError, did_you_mean
from core.i18n import _
from core.jsonl import Json, dump_line
from core.untrusted import inert, inert_line

ExportFormat: TypeAlias = Literal["markdown", "messages", "sharegpt", "alpaca"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
SUFFIXES: Mapping[ExportFormat, str] = {
    "markdown": ".md",
    "messages": ".jsonl",
    "sharegpt": ".json",
    "alpaca": ".json",
}


def export(conversation: Conversation, format: str, column: int = 0) -> str:
    """A column's line as the text of a file.

    Raises:
        SessionError: there is nothing to export, or no such format.
    """
    writers: Mapping[str, Callable[[Conversation, int], str]] = {
        "markdown": _markdown,
        "messages": _messages,
        "sharegpt": _sharegpt,
        "alpaca": _alpaca,
    }
    if format not in writers:
        known = _("the formats are {names}").format(names=", ".join(FORMATS))
        raise SessionError(_("there is no format {name!r}").format(name=format), did_you_mean(format, FORMATS) or known)
    if not conversation.line(column):
        raise SessionError(_("nothing has been said yet"), _("ask something first"))
    return writers[format](conversation, column)


def append_to_dataset(folder: Path, name: str, exchange: Sequence[Message]) -> Path:
    """Add an exchange as a row to a data set, in the set's own format.

    A set that is not there yet is made, in the format of messages. One without an entry in dataset_info.json gets it.

    Args:
        folder: the workspace's `data/`.
        exchange: messages that end in an answer, as `Conversation.messages` gives them.

    Returns:
        The file that has grown.

    Raises:
        WorkspaceError: the set has a form that an exchange cannot be added to.
    """
    check_name(name)
    with locked(folder):
        entry = read_info(folder).get(name)
        if entry is None:
            path, entry = _unregistered(folder, name)
            append_row(path, row_of(name, entry, exchange))
            register(folder, name, {"file_name": path.name, **entry})
        else:
            path = _file_of(folder, name, entry)
            append_row(path, row_of(name, entry, exchange))
    return path


# --- export -----------------------------------------------------------------------------------------------------


def _markdown(conversation: Conversation, column: int) -> str:
    parts = [f"# {inert_line(conversation.title)}"]
    if conversation.system:
        parts += ["## " + _("System"), inert(conversation.system)]
    for turn in conversation.line(column):
        if turn.role == "assistant":
            model = " + ".join(name for name in (turn.model, turn.adapter) if name)
            parts.append("## " + _("Assistant") + (f" · {inert_line(model)}" if model else ""))
        else:
            parts.append("## " + _(turn.role.capitalize()))
        parts.append(inert(turn.content))
        if turn.finish_reason in ("stopped", "length", "error"):
            parts.append("*" + _("the answer ended early: {reason}").format(reason=turn.finish_reason) + "*")
    return "\n\n".join(parts) + "\n"


def _messages(conversation: Conversation, column: int) -> str:
    messages = [{"role": message.role, "content": message.content} for message in conversation.messages(column)]
    return dump_line({"messages": messages}).decode()


def _sharegpt(conversation: Conversation, column: int) -> str:
    exchange = paired(conversation.messages(column))
    columns = {"messages": "conversations", "system": "system"}
    return _array(sharegpt_row({"columns": columns}, exchange))


def _alpaca(conversation: Conversation, column: int) -> str:
    columns = {**ALPACA_COLUMNS, "system": "system", "history": "history"}
    return _array(alpaca_row("", columns, paired(conversation.messages(column))))


def _array(row: Json) -> str:
    text = json.dumps([row], ensure_ascii=False, indent=2) + "\n"
    return text.encode(errors="backslashreplace").decode()


# --- data sets ---------------------------------------------------------------------------------------------------


def _unregistered(folder: Path, name: str) -> tuple[Path, Json]:
    """The file of a set without an entry, and the entry that it should have but for the file's name."""
    path = next((path for suffix in (".jsonl", ".json") if (path := folder / f"{name}{suffix}").exists()), None)
    row = first_row(path) if path else None
    if path is None or row is None:
        return path or folder / f"{name}.jsonl", MESSAGES_ENTRY
    keys = row.keys() if isinstance(row, dict) else ()
    if "messages" in keys:
        return path, MESSAGES_ENTRY
    if "conversations" in keys:
        system = {"system": "system"} if "system" in keys else {}
        return path, {"formatting": "sharegpt", "columns": {"messages": "conversations", **system}}
    if {"instruction", "output"} <= set(keys):
        more = {key: key for key in ("system", "history") if key in keys}
        return path, {"columns": {**ALPACA_COLUMNS, **more}}
    raise WorkspaceError(
        _("{path}: the format of its rows is not known (columns: {names})").format(path=path, names=", ".join(keys)),
        _("enter it in dataset_info.json, or choose another name"),
    )


def _file_of(folder: Path, name: str, entry: Json) -> Path:
    path = folder / str(entry.get("file_name", ""))
    if entry.get("ranking"):
        raise WorkspaceError(
            _("the data set {name!r} holds preferences, not single answers").format(name=name),
            _("choose another name; compare mode adds to it"),
        )
    if "file_name" not in entry or path.is_dir() or path.suffix not in (".json", ".jsonl"):
        raise WorkspaceError(
            _("the data set {name!r} is not one JSON file of this workspace").format(name=name),
            _("choose another name: a new set is made then"),
        )
    return path
