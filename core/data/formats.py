"""From a row to a conversation: one reader for each format, and all of a row's faults at once.

alpaca holds a question and its answer in columns, sharegpt and openai hold messages in one column; `columns` and `tags`
of the set's entry say how columns, keys and roles are called. What LLaMA-Factory drops, ignores or dies of is a fault
here, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.chat.message import Message
from core.config.stages import RowKind
from core.data.cells import half_character, kind_of
from core.data.entry import DEFAULT_COLUMNS, DatasetEntry
from core.data.example import Comparison, Example, Prompt
from core.data.messages import content_of, read_messages
from core.data.problems import Fault
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json


class ColumnChoice(Protocol):
    """The options that name columns; `DataOptions` is one."""

    @property
    def prompt_column(self) -> str | None: ...
    @property
    def response_column(self) -> str | None: ...
    @property
    def history_column(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class RowShape:
    """What a row's columns are for."""

    formatting: str
    columns: Mapping[str, str]
    tags: Mapping[str, str]
    ranking: bool = False

    @property
    def kind(self) -> RowKind:
        """What the rows hold, as far as their columns tell: whether messages end with an answer, each row says."""
        if self.ranking:
            return "pairs"
        return "prompts" if self.formatting == "alpaca" and "response" not in self.columns else "answers"


def shape_of(entry: DatasetEntry, choice: ColumnChoice | None = None) -> RowShape:
    """How a set's rows are read; columns that were chosen go before those of its entry.

    Raises:
        DataError: columns were chosen for a set of messages.
    """
    columns = dict(entry.columns)
    chosen = {
        "prompt": choice.prompt_column if choice else None,
        "response": choice.response_column if choice else None,
        "history": choice.history_column if choice else None,
    }
    given = {role: name for role, name in chosen.items() if name}
    if given and entry.formatting != "alpaca":
        role = next(iter(given))
        raise DataError(
            _("{name}: {option} means nothing for a set of messages").format(name=entry.name, option=f"{role}_column"),
            _("leave it out, or name the set's messages in dataset_info.json"),
        )
    if "prompt" in given and not entry.columns_given:
        columns.pop("query", None)  # another file's column, by accident of its name
    if entry.formatting == "openai" and not entry.columns_given:
        columns["messages"] = DEFAULT_COLUMNS["openai"]["messages"]
    return RowShape(entry.formatting, columns | given, entry.tags, entry.ranking)


def read_example(row: Json, shape: RowShape) -> tuple[Example | None, list[Fault]]:
    """A row as an example, or everything that is wrong with it."""
    faults: list[Fault] = []
    example = _EXAMPLES[shape.formatting](row, shape, faults)
    return (None if faults else example), faults


def read_prompt(row: Json, shape: RowShape) -> tuple[Prompt | None, list[Fault]]:
    """A row as a question, or everything that is wrong with it; an answer, or two of them, are not looked at."""
    faults: list[Fault] = []
    if shape.formatting == "alpaca":
        messages = _alpaca_prompt(row, shape, faults)
    else:
        messages = _conversation_prompt(row, shape, faults, answer="left_out")
    return (None if faults or messages is None else Prompt(messages)), faults


def read_comparison(row: Json, shape: RowShape) -> tuple[Comparison | None, list[Fault]]:
    """A row as a question with a better and a worse answer, or everything that is wrong with it."""
    faults: list[Fault] = []
    messages = _PROMPTS[shape.formatting](row, shape, faults)
    chosen, rejected = _two_answers(row, shape, faults)
    if chosen and chosen == rejected:
        hint = _("take the row out: there is nothing to prefer")
        faults.append(Fault("same_answers", _("the better and the worse answer are the same"), hint))
    if faults or messages is None or chosen is None or rejected is None:
        return None, faults
    return Comparison(messages, chosen, rejected), faults


# --- alpaca ------------------------------------------------------------------------------------------------------


def _alpaca(row: Json, shape: RowShape, faults: list[Fault]) -> Example | None:
    before = _alpaca_prompt(row, shape, faults)
    answer = _answer(row, shape.columns.get("response"), faults)
    if before is None or answer is None:
        return None
    return Example((*before, Message("assistant", answer)))


def _alpaca_prompt(row: Json, shape: RowShape, faults: list[Fault]) -> tuple[Message, ...] | None:
    columns = shape.columns
    _refuse_media(row, columns, faults)
    system = _text(row, columns.get("system"), faults)
    history = _history(row, columns.get("history"), faults)
    prompt, query = columns.get("prompt"), columns.get("query")
    # An absent `input` is an empty one; LLaMA-Factory dies of it.
    parts = [_text(row, prompt, faults), _text(row, query, faults)]
    question = "\n".join(filter(None, parts))
    if prompt not in row and not question:
        faults.append(_missing(row, prompt, "prompt"))
    elif None not in parts and not question.strip():
        names = ", ".join(repr(name) for name in (prompt, query) if name)
        hint = _("write one, or take the row out")
        faults.append(Fault("empty_question", _("the question is empty ({names})").format(names=names), hint))
    opening = (Message("system", system),) if system else ()
    return (*opening, *history, Message("user", question))


def _answer(row: Json, column: str | None, faults: list[Fault]) -> str | None:
    hint = _("write one, or take the row out: the model would learn to say nothing")
    if column is None or column not in row:
        faults.append(_missing(row, column, "response"))
        return None
    match row[column]:
        case None:
            faults.append(Fault("empty_answer", _("the answer {name!r} is null").format(name=column), hint))
        case str() as answer if answer.strip():
            return _whole(answer, column, faults)
        case str():
            faults.append(Fault("empty_answer", _("the answer {name!r} is empty").format(name=column), hint))
        case [str(), str()]:
            what = _("{name!r} holds two answers, as rankings do").format(name=column)
            faults.append(Fault("wrong_type", what, _('set "ranking": true for this set, or keep one of them')))
        case other:
            faults.append(_no_text(column, other))
    return None


def _history(row: Json, column: str | None, faults: list[Fault]) -> tuple[Message, ...]:
    value = row.get(column) if column else None
    if value in (None, "", []):
        return ()
    if not isinstance(value, list):
        what = _("{name!r} is {kind}, not a list of pairs").format(name=column, kind=kind_of(value))
        faults.append(Fault("history", what, _('write [["question", "answer"], …]')))
        return ()
    messages = []
    for number, pair in enumerate(value, start=1):
        match pair:
            case [str(question), str(answer)] if question.strip() and answer.strip():
                messages += [Message("user", question), Message("assistant", answer)]
                _whole(question + answer, str(column), faults)
            case _:
                what = _("{name!r}: pair {number} {problem}").format(
                    name=column, number=number, problem=_pair_problem(pair)
                )
                faults.append(Fault("history", what, _('write ["question", "answer"]')))
    return tuple(messages)


def _pair_problem(pair: object) -> str:
    if not isinstance(pair, list):
        return _("is {kind}").format(kind=kind_of(pair))
    if len(pair) != 2:
        return _("has {count} parts, not a question and an answer").format(count=len(pair))
    if all(isinstance(part, str) for part in pair):
        return _("has an empty text")
    return _("holds {kind}").format(kind=kind_of(next(part for part in pair if not isinstance(part, str))))


# --- messages ----------------------------------------------------------------------------------------------------


def _conversation(row: Json, shape: RowShape, faults: list[Fault]) -> Example | None:
    _refuse_media(row, shape.columns, faults)
    found = read_messages(row, shape.columns["messages"], shape.tags, faults, ends_with="assistant")
    if found is None:
        return None
    messages, weights = found
    system = _text(row, shape.columns.get("system"), faults)
    if system and messages[0].role != "system":
        messages = (Message("system", system), *messages)
        weights = (0.0, *weights) if weights else ()
    return Example(messages, weights)


def _conversation_prompt(
    row: Json, shape: RowShape, faults: list[Fault], answer: Literal["left_out", "fault"] = "fault"
) -> tuple[Message, ...] | None:
    _refuse_media(row, shape.columns, faults)
    column, leaves_out = shape.columns["messages"], answer == "left_out"
    found = read_messages(row, column, shape.tags, faults, ends_with="user", leaves_out_answer=leaves_out)
    system = _text(row, shape.columns.get("system"), faults)
    if found is None:
        return None
    opening = (Message("system", system),) if system and found[0][0].role != "system" else ()
    return (*opening, *found[0])


# --- two answers -------------------------------------------------------------------------------------------------


def _two_answers(row: Json, shape: RowShape, faults: list[Fault]) -> tuple[str | None, str | None]:
    columns = shape.columns
    better, worse = columns.get("chosen", "chosen"), columns.get("rejected", "rejected")
    listed = columns.get("response", "output")
    if shape.formatting == "alpaca" and better not in row and listed in row:
        match row[listed]:
            case [first, second]:
                return _one_answer(first, listed, shape, faults), _one_answer(second, listed, shape, faults)
            case other:
                what = _("{name!r} is {kind}, not a list of a better and a worse answer").format(
                    name=listed, kind=kind_of(other)
                )
                faults.append(Fault("wrong_type", what, _('write ["better", "worse"]')))
                return None, None
    answers: list[str | None] = []
    for role, column in (("chosen", better), ("rejected", worse)):
        if column not in row:
            faults.append(_missing(row, column, role))
            answers.append(None)
        else:
            answers.append(_one_answer(row[column], column, shape, faults))
    return answers[0], answers[1]


def _one_answer(value: Any, column: str, shape: RowShape, faults: list[Fault]) -> str | None:
    """An answer as a text, as one message, or, as TRL writes it, as the last of a list of messages."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1]
    if isinstance(value, dict):
        value = content_of(value, shape.tags)
    return _answer({column: value}, column, faults)


# --- cells -------------------------------------------------------------------------------------------------------


def _text(row: Json, column: str | None, faults: list[Fault]) -> str | None:
    """A column's text, empty where there is none; None when it is something else, which is a fault then."""
    value = row.get(column) if column else None
    if value is None:
        return ""
    if isinstance(value, str):
        return _whole(value, str(column), faults)
    faults.append(_no_text(str(column), value))
    return None


def _whole(text: str, column: str, faults: list[Fault]) -> str:
    if half_character(text):
        what = _("{name!r} has half a character (a lone surrogate)").format(name=column)
        faults.append(Fault("half_character", what, _("write the text again: no tokenizer takes it")))
    return text


def _no_text(column: str, value: object) -> Fault:
    what = _("{name!r} is {kind}, not a text").format(name=column, kind=kind_of(value))
    scalar = isinstance(value, (int, float))
    return Fault("wrong_type", what, _("put it in quotes") if scalar else _("write a text, or take the row out"))


def _missing(row: Json, column: str | None, role: str) -> Fault:
    if column is None:
        hint = _("name its column in dataset_info.json: columns.{role}").format(role=role)
        return Fault("missing_column", _("no column is named for the {role}").format(role=role), hint)
    hint = _("the row has {names}; say in dataset_info.json which is the {role}").format(
        names=", ".join(map(repr, row)) or _("nothing"), role=role
    )
    return Fault("missing_column", _("there is no column {name!r}").format(name=column), hint)


def _refuse_media(row: Json, columns: Mapping[str, str], faults: list[Fault]) -> None:
    for role in ("tools", "images", "videos", "audios"):
        value = row.get(columns[role]) if role in columns else None
        if value and value != "[]":
            kind = "tools" if role == "tools" else "media"
            what = _("{name!r} is not empty: finetui trains on text alone").format(name=columns[role])
            faults.append(Fault(kind, what, _("take the row out, or empty the column")))


_EXAMPLES: Mapping[str, Callable[[Json, RowShape, list[Fault]], Example | None]] = {
    "alpaca": _alpaca,
    "sharegpt": _conversation,
    "openai": _conversation,
}
_PROMPTS: Mapping[str, Callable[[Json, RowShape, list[Fault]], tuple[Message, ...] | None]] = {
    "alpaca": _alpaca_prompt,
    "sharegpt": _conversation_prompt,
    "openai": _conversation_prompt,
}


READERS: Mapping[RowKind, Callable[[Json, RowShape], tuple[Any, list[Fault]]]] = {
    "answers": read_example,
    "pairs": read_comparison,
    "prompts": read_prompt,
}
"""How a row is read, by what it holds."""
