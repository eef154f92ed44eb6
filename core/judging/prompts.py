"""The prompts of data sets: what stands before an answer, whether a row has one, two to compare, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.chat.message import Message
from core.data.checks import check
from core.data.dataset_file import replace_file
from core.data.example import Comparison, Example
from core.data.example import Prompt as BareQuestion
from core.data.examples import open_held
from core.data.problems import RowProblem
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json, dump_line, numbered_lines
from core.judging.options import PromptOptions
from core.workspace import Workspace

_NO_ANSWER = "-"
"""An evaluation wants something to compare an answer with; of a drawing nobody looks at that."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and what its row says to it."""

    number: int
    messages: tuple[Message, ...]
    label: str


def read_prompts(
    options: PromptOptions, workspace: Workspace, *, seed: int, default_system: str = ""
) -> tuple[list[Prompt], int]:
    """The prompts of all sets, and how many bad rows were left out.

    Args:
        default_system: the system prompt of those that have none.

    Raises:
        DataError: no set is named, one cannot be read, or there is nothing in them.
    """
    if not options.dataset:
        raise DataError(
            _("there is nothing to ask"), _("give prompts with --dataset NAME; finetui data list shows them")
        )
    found, left_out = [], 0
    for name in options.dataset:
        rows, skipped = _rows(name, options, workspace, seed)
        left_out += skipped
        found += rows
    if not found:
        raise DataError(_("the sets have no rows"), _("write rows into them, or name others"))
    opening = (Message("system", default_system),) if default_system else ()
    prompts = [
        Prompt(number, messages if messages[0].role == "system" else (*opening, *messages), label)
        for number, (messages, label) in enumerate(found)
    ]
    return prompts, left_out


def _rows(
    name: str, options: PromptOptions, workspace: Workspace, seed: int
) -> tuple[list[tuple[tuple[Message, ...], str]], int]:
    try:
        held = open_held(name, options, workspace, seed=seed)
        return [_asked(held[number]) for number in range(len(held))], held.left_out
    except RowProblem:
        check([name], options, workspace).raise_if_it_stops(options.on_bad_rows)  # tells of all of them
        raise


def _asked(row: Example | Comparison | BareQuestion) -> tuple[tuple[Message, ...], str]:
    """What a row asks, and the answer that it has."""
    match row:
        case Example(messages=messages):
            return messages[:-1], messages[-1].content
        case Comparison(messages=messages, chosen=chosen):
            return messages, chosen
        case BareQuestion(messages=messages):
            return messages, _NO_ANSWER


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write prompts as a set of conversations that an evaluation asks."""
    replace_file(path, b"".join(dump_line(_row(prompt)) for prompt in prompts))


def kept_prompts(path: Path) -> list[Prompt]:
    """What `write_prompts` wrote."""
    rows = [json.loads(line) for _number, line in numbered_lines(path.read_bytes())]
    return [_prompt(row) for row in rows]


def _prompt(row: Json) -> Prompt:
    *messages, answer = [Message(message["role"], message["content"]) for message in row["messages"]]
    return Prompt(int(row["id"]), tuple(messages), answer.content)


def _row(prompt: Prompt) -> Json:
    messages: Sequence[Message] = (*prompt.messages, Message("assistant", prompt.label))
    listed = [{"role": message.role, "content": message.content} for message in messages]
    return {"id": str(prompt.number), "messages": listed}
