"""Judged pairs as a data set: LLaMA-Factory's alpaca format of comparisons, the better answer first.

    {"instruction": "…", "input": "", "output": ["better", "worse"], "history": […], "system": "…", "meta": {…}}

The file is written out of the journal, whole, so that a judgement which was taken back is gone from it too. Every row
has every column, be it empty: LLaMA-Factory dies of one that lacks any that the entry names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.chat.message import Message
from core.data.dataset_file import locked, register, replace_file
from core.jsonl import Json, dump_line
from core.judging.folder import Judging
from core.judging.pair import Answer, Judged, Pair

_ENTRY: Json = {
    "ranking": True,
    "columns": {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "history": "history",
        "system": "system",
    },
}


def write_preferences(judging: Judging, judged: Mapping[int, Judged]) -> int:
    """Put the judged pairs into their data set and enter it; returns how many rows it has.

    Args:
        judged: what stands in the journal, by the number of a pair.

    Raises:
        WorkspaceError: the set cannot be written.
    """
    rows = [_row(pair, better, judged[pair.number]) for pair, better in _decided(judging.pairs(), judged)]
    if not rows and not judging.written.exists():
        return 0
    with locked(judging.data):
        replace_file(judging.written, b"".join(map(dump_line, rows)))
        register(judging.data, judging.name, {"file_name": judging.written.name, **_ENTRY})
    return len(rows)


def _decided(pairs: Sequence[Pair], judged: Mapping[int, Judged]) -> Iterator[tuple[Pair, tuple[Answer, Answer]]]:
    """Pairs of which one answer is better, with the better one first."""
    for pair in pairs:
        match judged[pair.number].verdict if pair.number in judged else "":
            case "first":
                yield pair, (pair.first, pair.second)
            case "second":
                yield pair, (pair.second, pair.first)


def _row(pair: Pair, better: tuple[Answer, Answer], judged: Judged) -> Json:
    opening = pair.messages[0]
    return {
        "instruction": pair.messages[-1].content,
        "input": "",
        "output": [answer.text for answer in better],
        "history": _history(pair.messages),
        "system": opening.content if opening.role == "system" else "",
        "meta": {"chosen": better[0].source, "rejected": better[1].source, "judge": judged.by},
    }


def _history(messages: Sequence[Message]) -> list[list[str]]:
    """The earlier turns as pairs of question and answer."""
    turns = [message.content for message in messages[:-1] if message.role != "system"]
    return [turns[at : at + 2] for at in range(0, len(turns), 2)]
