"""A column of messages as a conversation: a system prompt at most, then questions and answers by turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from core.chat.message import Message, Role
from core.data.cells import half_character, kind_of
from core.data.problems import Fault
from core.i18n import _
from core.jsonl import Json

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")


def read_messages(
    row: Json,
    column: str,
    tags: Mapping[str, str],
    faults: list[Fault],
    ends_with: Literal["user", "assistant"],
    *,
    leaves_out_answer: bool = False,
) -> tuple[tuple[Message, ...], tuple[float, ...]] | None:
    """The messages of a row, and their weights where some of them say a `weight`; None when something is wrong.

    Args:
        leaves_out_answer: an answer at the end is not looked at.
    """
    items = _items(row, column, tags, faults)
    if items is None:
        return None
    if leaves_out_answer and len(items) > 1 and items[-1].get(tags["role_tag"]) == tags["assistant_tag"]:
        items = items[:-1]
    before = len(faults)
    messages = [message for number, item in enumerate(items, start=1) if (message := _read(item, number, tags, faults))]
    if len(faults) == before:
        _check_order(messages, tags, faults, ends_with)
    if len(faults) > before:
        return None
    return tuple(messages), _weights(items, messages)


def content_of(item: Mapping[str, Any], tags: Mapping[str, str]) -> Any:
    """What a message says; parts of text, as OpenAI has them, are put together."""
    content = item.get(tags.get("content_tag", "content"))
    if isinstance(content, list) and content and all(_is_text_part(part) for part in content):
        return "".join(part["text"] for part in content)
    return content


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str)


def _items(row: Json, column: str, tags: Mapping[str, str], faults: list[Fault]) -> list[Mapping[str, Any]] | None:
    if column not in row:
        names = ", ".join(map(repr, row)) or _("nothing")
        hint = _("the row has {names}; say in dataset_info.json which holds the messages").format(names=names)
        faults.append(Fault("missing_column", _("there is no column {name!r}").format(name=column), hint))
        return None
    value = row[column]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    if value == []:
        what = _("{name!r} has no messages").format(name=column)
    elif isinstance(value, list):
        other = next(item for item in value if not isinstance(item, dict))
        what = _("{name!r} holds {kind} among its messages").format(name=column, kind=kind_of(other))
    else:
        what = _("{name!r} is {kind}, not a list of messages").format(name=column, kind=kind_of(value))
    kind = "roles" if value == [] else "wrong_type"
    example = '[{{"{role}": "{user}", "{content}": "…"}}, …]'.format(
        role=tags["role_tag"], user=tags["user_tag"], content=tags["content_tag"]
    )
    faults.append(Fault(kind, what, _("write {example}, or take the row out").format(example=example)))
    return None


def _read(item: Mapping[str, Any], number: int, tags: Mapping[str, str], faults: list[Fault]) -> Message | None:
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    for tag in (role_tag, content_tag):
        if tag not in item and not (tag == content_tag and item.get("tool_calls")):
            faults.append(_wrong_keys(item, number, tag))
            return None
    role = _role(item, number, tags, faults)
    if role is None:
        return None
    content = content_of(item, tags)
    if not isinstance(content, str):
        what = _("message {number}: {name!r} is {kind}, not a text").format(
            number=number, name=content_tag, kind=kind_of(content)
        )
        faults.append(Fault("wrong_type", what, _("write a text, or take the row out")))
        return None
    if not content.strip() and role != "system":
        kind = "empty_answer" if role == "assistant" else "empty_question"
        what = _("message {number} of {role!r} is empty").format(number=number, role=item[role_tag])
        faults.append(Fault(kind, what, _("write it, or take the row out")))
        return None
    if half_character(content):
        what = _("message {number} has half a character (a lone surrogate)").format(number=number)
        faults.append(Fault("half_character", what, _("write the text again: no tokenizer takes it")))
    return Message(role, content)


def _wrong_keys(item: Mapping[str, Any], number: int, tag: str) -> Fault:
    what = _("message {number} has no {name!r}").format(number=number, name=tag)
    if {"role", "content"} <= item.keys():
        hint = _('it has "role" and "content": set "formatting": "openai"')
    elif {"from", "value"} <= item.keys():
        hint = _('it has "from" and "value": set "formatting": "sharegpt"')
    else:
        names = ", ".join(map(repr, item)) or _("nothing")
        hint = _("it has {names}; name them in tags in dataset_info.json").format(names=names)
    return Fault("roles", what, hint)


def _role(item: Mapping[str, Any], number: int, tags: Mapping[str, str], faults: list[Fault]) -> Role | None:
    said = item[tags["role_tag"]]
    if item.get("tool_calls") or said in (tags["observation_tag"], tags["function_tag"], "tool", "function"):
        what = _("message {number} of {role!r} is part of a tool call").format(number=number, role=said)
        faults.append(Fault("tools", what, _("take the row out: finetui trains on text alone")))
        return None
    for role in _ROLES:
        if said == tags[f"{role}_tag"]:
            return role
    known = ", ".join(repr(tags[f"{role}_tag"]) for role in _ROLES)
    what = _("message {number}: the role {role!r} is not known").format(number=number, role=said)
    faults.append(Fault("roles", what, _("the roles are {names}; rename it, or name it in tags").format(names=known)))
    return None


def _check_order(
    messages: list[Message], tags: Mapping[str, str], faults: list[Fault], ends_with: Literal["user", "assistant"]
) -> None:
    opening = 1 if messages[0].role == "system" else 0
    for number, message in enumerate(messages[opening:]):
        expected: Role = "assistant" if number % 2 else "user"
        if message.role != expected:
            faults.append(_out_of_order(message.role, opening + number + 1, number == 0, tags))
            return
    if messages[-1].role != ends_with:
        if ends_with == "assistant":
            what = _("the last question has no answer")
            hint = _("add the answer, or take the question out; stage ppo asks questions without answers")
        else:
            what, hint = _("an answer stands before the two answers"), _("end the messages with the question")
        faults.append(Fault("roles", what, hint))


def _out_of_order(role: Role, number: int, first: bool, tags: Mapping[str, str]) -> Fault:
    name = tags[f"{role}_tag"]
    if role == "system":
        what = _("message {number}: {role!r} stands inside the conversation").format(number=number, role=name)
        return Fault("roles", what, _("put it first, or take the row out"))
    if first:
        what = _("message {number}: the conversation begins with {role!r}").format(number=number, role=name)
        return Fault("roles", what, _("put a question before it, or take the message out"))
    what = _("message {number}: two messages of {role!r} in a row").format(number=number, role=name)
    return Fault("roles", what, _("join them, or put what is missing between them"))


def _weights(items: list[Mapping[str, Any]], messages: list[Message]) -> tuple[float, ...]:
    """OpenAI's `weight` of a message: 0 keeps its text out of the loss."""
    if not any("weight" in item for item in items):
        return ()
    return tuple(
        float(message.role == "assistant" and item.get("weight", 1) not in (0, False))
        for item, message in zip(items, messages, strict=True)
    )
