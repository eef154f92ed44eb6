"""What an unregistered file's columns mean, judged by their names and by what stands in the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.data.entry import DEFAULT_TAGS, Formatting
from core.data.problems import RowProblem
from core.data.rows import Rows
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json

_LOOKED_AT = 50
_PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("content", "summary"),
    ("context", "target"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "output"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("input", "target"),
    ("input", "label"),
    ("source", "target"),
    ("text", "label"),
    ("问题", "答案"),
    ("问题", "回答"),
)
_CLEAR_QUESTIONS = ("instruction", "prompt", "question", "query", "问题")
"""Columns that hold nothing else, whatever stands beside them."""
_NO_ANSWERS = ("input", "system", "id", "source", "category", "topic", "type", "lang", "language")
"""Columns that stand beside a question and are no answer."""
_USERS = ("human", "user")
_ASSISTANTS = ("gpt", "assistant", "bot", "chatgpt", "model")


@dataclass(frozen=True, slots=True)
class Guess:
    """A data set's description, and why it was taken."""

    formatting: Formatting
    columns: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    ranking: bool = False
    why: str = ""


def guess(rows: Rows) -> Guess:
    """What the columns mean.

    Raises:
        DataError: they say too little; the message names them.
    """
    sample, problem = _sample(rows)
    names = _names(sample)
    first = {name: next((row[name] for row in sample if row.get(name) not in (None, "")), None) for name in names}
    for finder in (_ranking_of_messages, _messages, _ranking, _pair, _two_texts, _question_alone):
        found = finder(first)
        if found is not None:
            return found
    if problem is not None and not sample:
        what = _("no row can be read, the first because of this: {problem}").format(problem=problem.fault.what)
        raise DataError(what, problem.hint)
    if not len(rows):
        raise DataError(_("the file has no rows"), _("write rows into it, or leave it out"))
    if not names:
        raise DataError(_("there are no columns, so the format cannot be guessed"), _("look at the file's first lines"))
    raise DataError(
        _("the columns {names} do not tell which is the question and which the answer").format(
            names=", ".join(map(repr, names))
        ),
        _("enter the set with --prompt COLUMN --response COLUMN, or describe it in dataset_info.json"),
    )


def columns_of(rows: Rows) -> list[str]:
    """The columns of the first rows that can be read, in their order."""
    return _names(_sample(rows)[0])


def _names(sample: list[Json]) -> list[str]:
    return list(dict.fromkeys(name for row in sample for name in row))


def _sample(rows: Rows) -> tuple[list[Json], RowProblem | None]:
    """The first rows that can be read, and what is wrong with the first that cannot."""
    sample, first = [], None
    for number in range(min(len(rows), _LOOKED_AT)):
        try:
            sample.append(rows[number][0])
        except RowProblem as problem:  # the checks tell of all
            first = first or problem
    return sample, first


def _messages(first: Mapping[str, Any]) -> Guess | None:
    column = next((name for name in ("messages", "conversations", "conversation") if name in first), None)
    if column is None:
        return None
    tags = _tags(first[column])
    return _of_messages({"messages": column, **_system(first)}, tags)


def _ranking_of_messages(first: Mapping[str, Any]) -> Guess | None:
    if not {"chosen", "rejected"} <= first.keys():
        return None
    column = next((name for name in ("messages", "conversations", "prompt") if isinstance(first.get(name), list)), None)
    if column is None:
        return None
    columns = {"messages": column, "chosen": "chosen", "rejected": "rejected", **_system(first)}
    return _of_messages(columns, _tags(first[column]), ranking=True)


def _of_messages(columns: Mapping[str, str], tags: Mapping[str, str], ranking: bool = False) -> Guess:
    why = _("{column} holds messages with {role} and {content}").format(
        column=columns["messages"], role=tags["role_tag"], content=tags["content_tag"]
    )
    # LLaMA-Factory's own `openai` formatting expects ShareGPT's tags unless told; `sharegpt` with tags reads in all.
    return Guess("sharegpt", columns, tags, ranking, why)


def _tags(messages: object) -> Mapping[str, str]:
    """How these messages call their roles and contents."""
    items = [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
    keys = {key for item in items for key in item}
    tags = dict(DEFAULT_TAGS["sharegpt" if "from" in keys and "role" not in keys else "openai"])
    if tags["content_tag"] not in keys:
        tags["content_tag"] = next((key for key in ("content", "value", "text") if key in keys), tags["content_tag"])
    roles = [str(item.get(tags["role_tag"])) for item in items]
    tags["user_tag"] = next((role for role in roles if role in _USERS), tags["user_tag"])
    tags["assistant_tag"] = next((role for role in roles if role in _ASSISTANTS), tags["assistant_tag"])
    return tags


def _ranking(first: Mapping[str, Any]) -> Guess | None:
    question = next((name for name in _questions() if isinstance(first.get(name), str)), None)
    if question is None:
        return None
    more = _beside(first, question)
    if {"chosen", "rejected"} <= first.keys():
        columns = {"prompt": question, **more, "chosen": "chosen", "rejected": "rejected"}
        return Guess("alpaca", columns, ranking=True, why=_("there is a chosen and a rejected answer"))
    for name, value in first.items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value):
            columns = {"prompt": question, **more, "response": name}
            return Guess("alpaca", columns, ranking=True, why=_("{name} holds two answers").format(name=name))
    return None


def _pair(first: Mapping[str, Any]) -> Guess | None:
    for question, answer in _PAIRS:
        if question in first and answer in first:
            columns = {"prompt": question, **_beside(first, question), "response": answer}
            why = _("{question} and {answer} are a question and its answer").format(question=question, answer=answer)
            return Guess("alpaca", columns, why=why)
    return None


def _two_texts(first: Mapping[str, Any]) -> Guess | None:
    texts = [name for name, value in first.items() if isinstance(value, str)]
    if len(texts) != 2 or len(first) != 2 or texts[1] in _CLEAR_QUESTIONS:
        return None
    if texts[0] in _CLEAR_QUESTIONS and texts[1] in _NO_ANSWERS:
        return None
    why = _("there are two columns of texts; the first is taken for the question: look whether that is right")
    return Guess("alpaca", {"prompt": texts[0], "response": texts[1]}, why=why)


def _question_alone(first: Mapping[str, Any]) -> Guess | None:
    question = next((name for name in _CLEAR_QUESTIONS if isinstance(first.get(name), str)), None)
    if question is None:
        return None
    why = _("{question} is a question; no column is an answer, which stage ppo needs none of")
    return Guess("alpaca", {"prompt": question, **_beside(first, question)}, why=why.format(question=question))


def _questions() -> tuple[str, ...]:
    return tuple(dict.fromkeys(question for question, _answer in _PAIRS))


def _beside(first: Mapping[str, Any], question: str) -> dict[str, str]:
    """Columns that stand beside question and answer."""
    query = {"query": "input"} if question == "instruction" and "input" in first else {}
    history = {"history": "history"} if isinstance(first.get("history"), list) else {}
    return query | history | _system(first)


def _system(first: Mapping[str, Any]) -> dict[str, str]:
    return {"system": "system"} if isinstance(first.get("system"), str) else {}
