"""The codec between frozen dataclasses and JSON, the lines it is written in, and the protocol that uses both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from core.chat.message import Message, Usage
from core.errors import RecordError
from core.jsonl import append_lines, dump_line, numbered_lines, torn_tail
from core.records import from_record, registry, to_record, type_name
from core.serve.protocol import REPLIES, REQUESTS, Finished, Generate, Load, LoadAdapter, Row, Sampling, Started


@dataclass(frozen=True)
class Inner:
    name: str
    size: int = 0


@dataclass(frozen=True)
class OuterThing:
    flag: bool
    ratio: float = 0.5
    mood: Literal["good", "bad"] | None = None
    inners: tuple[Inner, ...] = ()
    notes: Mapping[str, int] | None = None
    anything: Any = None


CLASSES = registry(Inner, OuterThing)


def test_a_record_leaves_out_what_is_at_its_default() -> None:
    assert type_name(OuterThing) == "outer_thing"
    assert to_record(OuterThing(True)) == {"type": "outer_thing", "flag": True}
    value = OuterThing(False, 1.5, "bad", (Inner("a", 2), Inner("b")), {"x": 1}, [None, {"k": 2}])
    record = to_record(value)
    assert record["inners"] == [{"name": "a", "size": 2}, {"name": "b"}]
    assert from_record(CLASSES, json.loads(json.dumps(record))) == value


def test_a_newer_writers_fields_are_left_out() -> None:
    assert from_record(CLASSES, {"type": "inner", "name": "a", "colour": "red"}) == Inner("a")


def test_whole_numbers_are_numbers_too() -> None:
    thing = from_record(CLASSES, {"type": "outer_thing", "flag": True, "ratio": 2})
    assert isinstance(thing, OuterThing)
    assert (thing.ratio, type(thing.ratio)) == (2.0, float)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ([], "expected a JSON object"),
        ({}, "unknown type None"),
        ({"type": ["inner"]}, "unknown type ['inner']"),
        ({"type": "outer"}, "unknown type 'outer': known types: inner, outer_thing"),
        ({"type": "inner"}, "name: missing"),
        ({"type": "inner", "name": 1}, "name: expected a text, not 1"),
        ({"type": "inner", "name": "a", "size": True}, "size: expected a whole number, not True"),
        ({"type": "inner", "name": "a", "size": 1.0}, "size: expected a whole number, not 1.0"),
        ({"type": "outer_thing", "flag": 1}, "flag: expected true or false, not 1"),
        ({"type": "outer_thing", "flag": True, "ratio": True}, "ratio: expected a number, not True"),
        ({"type": "outer_thing", "flag": True, "ratio": math.inf}, "ratio: expected a number, not inf"),
        ({"type": "outer_thing", "flag": True, "ratio": 10**400}, "ratio: expected a number, not 1000"),
        ({"type": "outer_thing", "flag": True, "mood": "odd"}, "mood: 'odd' is none of 'good', 'bad'"),
        ({"type": "outer_thing", "flag": True, "inners": {}}, "inners: expected a list"),
        ({"type": "outer_thing", "flag": True, "inners": [{"name": "a"}, 7]}, "inners[1]: expected an object"),
        ({"type": "outer_thing", "flag": True, "inners": [{"size": 1}]}, "inners[0].name: missing"),
        ({"type": "outer_thing", "flag": True, "notes": {"x": "1"}}, "notes.x: expected a whole number, not '1'"),
    ],
)
def test_a_mistake_is_named_by_its_place(record: object, told: str) -> None:
    with pytest.raises(RecordError) as raised:
        from_record(CLASSES, record)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    "message",
    [
        Load(1, "m", dtype="bfloat16", threads=2, allow_pickle=True),
        LoadAdapter(2, "tuned", "runs/tuned"),
        Generate(3, (Row((Message("user", "\ud800\x1b好"),), "tuned", "k"),), Sampling(0.7, stop=("\n",)), False),
        Started(3, 0, 10, 4, (1, 2)),
        Finished(3, 1, "length", Usage(1, 0, 2, 3, 0.25, 1.0), last=True),
    ],
)
def test_the_protocols_messages_cross_the_pipe(message: Any) -> None:
    line = dump_line(to_record(message))
    assert line.count(b"\n") == 1
    known: Mapping[str, type[Any]] = {**REQUESTS, **REPLIES}
    assert from_record(known, json.loads(line)) == message


def test_decoding_speed_counts_the_tokens_after_the_first() -> None:
    assert Usage(1, 0, 11, 3, 0.5, 2.5).tokens_per_second == 5.0
    assert Usage(1, 0, 1, 3, 0.5, 0.5).tokens_per_second == 0.0


def test_lines_are_whole_and_numbered(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, {"a": "你"}, {"b": "\ud800"})
    assert path.stat().st_mode & 0o777 == 0o600
    data = path.read_bytes()
    assert data == '{"a":"你"}\n{"b":"\\ud800"}\n'.encode()
    assert list(numbered_lines(b"x\n\n  \ny\ntorn")) == [(1, b"x"), (4, b"y")]
    assert (torn_tail(b"x\ntorn"), torn_tail(b"x\n"), torn_tail(b"torn")) == (b"torn", b"", b"torn")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b'{"n":1}\n'),
        (b'{"n":0}\n', b'{"n":0}\n{"n":1}\n'),
        (b'{"n":0}', b'{"n":0}\n{"n":1}\n'),
        (b'{"n":', b'{"n":\n{"torn":true}\n{"n":1}\n'),
    ],
)
def test_a_torn_line_is_ended_and_marked(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(before)
    append_lines(path, {"n": 1}, after_torn={"torn": True})
    assert path.read_bytes() == after
