"""Conversation files in the world: edited by hand, torn by a kill, written by two apps, made by a newer finetui."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.chat.session import open_conversation
from core.errors import SessionError

HEADER = '{"type":"header","schema":1,"created":1763800000.0,"title":"","system":""}'
FIRST = '{"type":"turn","id":"a","parent":null,"column":0,"role":"user","content":"q"}'
SECOND = '{"type":"turn","id":"b","parent":"a","column":0,"role":"assistant","content":"x"}'
RATED = '{"type":"rated","turn":"b","rating":"good"}'


def write(tmp_path: Path, *lines: str, end: str = "\n") -> Path:
    path = tmp_path / "c.jsonl"
    path.write_bytes(("\n".join(lines) + end).encode())
    return path


def said(path: Path) -> list[str]:
    return [turn.content for turn in open_conversation(path).line()]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([HEADER, "{broken", SECOND], "c.jsonl:2: not a line of JSON: Expecting property name"),
        ([HEADER, FIRST, "", "[]"], "c.jsonl:4: expected a JSON object"),
        ([HEADER, FIRST, "{broken", RATED, "{broken too"], "c.jsonl:3: not a line of JSON"),
        ([HEADER, FIRST, FIRST], "c.jsonl:3: the message id 'a' is used twice"),
        ([HEADER, SECOND], "c.jsonl:2: the message's parent 'a' is not above it"),
        ([HEADER, FIRST, RATED], "c.jsonl:3: there is no message 'b' above this line"),
        ([HEADER, FIRST.replace('"user"', '"robot"')], "c.jsonl:2: role: 'robot' is none of 'system', 'user'"),
        ([HEADER, FIRST.replace('"q"', "7")], "c.jsonl:2: content: expected a text, not 7"),
        ([HEADER, FIRST.replace('"role":"user",', "")], "c.jsonl:2: role: missing"),
        ([HEADER, '{"role":"user","content":"q"}'], "c.jsonl:2: unknown type None"),
        ([HEADER, "[" * 100_000, FIRST], "c.jsonl:2: not a line of JSON"),
        ([FIRST], "c.jsonl:1: a conversation has to begin with its header"),
        (['{"type":"whatever"}'], "c.jsonl:1: the file has no header"),
        ([HEADER.replace('"schema":1', '"schema":2')], "c.jsonl:1: written by a newer finetui (schema 2; this one"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path: Path, lines: list[str], told: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(SessionError, match=re.escape(told)) as raised:
        open_conversation(path)
    assert raised.value.hint


def test_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="cannot be read: No such file"):
        open_conversation(tmp_path / "none.jsonl")
    with pytest.raises(SessionError, match=r"c\.jsonl:1: the file has no header"):
        open_conversation(write(tmp_path, end=""))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST)
    path.write_bytes(path.read_bytes().replace(b'"q"', b'"\xff"'))
    with pytest.raises(SessionError, match=r"c\.jsonl:2: not a line of JSON"):
        open_conversation(path)


def test_what_a_hand_leaves_is_read(tmp_path: Path) -> None:
    spaced = FIRST.replace(":", " : ").replace(",", " , ")
    unknown = '{"type":"painted","colour":"red"}'
    path = write(tmp_path, "\ufeff" + HEADER + "\r", "", spaced + "\r", unknown, SECOND, end="")
    conversation = open_conversation(path)
    assert said(path) == ["q", "x"]
    assert conversation.problems == ()
    conversation.append("user", "and")
    assert said(path) == ["q", "x", "and"]
    assert unknown in path.read_text()


def test_unknown_fields_are_no_error(tmp_path: Path) -> None:
    assert said(write(tmp_path, HEADER, FIRST[:-1] + ',"mood":"curious"}')) == ["q"]


def test_a_torn_last_line_is_passed_over_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST, SECOND[:-20], end="")
    conversation = open_conversation(path)
    assert [turn.content for turn in conversation.line()] == ["q"]
    assert conversation.problems == (f"{path}:3: this line was not written to its end; it is passed over",)


def test_one_can_go_on_after_a_torn_line_any_number_of_times(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST, SECOND[:30], end="")
    for content in ("one", "two"):
        open_conversation(path).append("assistant", content)
        with path.open("ab") as file:
            file.write(SECOND[:-1].encode())
    conversation = open_conversation(path)
    assert [turn.content for turn in conversation.line()] == ["q", "one", "two"]
    assert [re.sub(r"^.*:(\d+):.*$", r"\1", problem) for problem in conversation.problems] == ["3", "6", "9"]


def test_somebody_elses_bad_line_does_not_lose_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST)
    conversation = open_conversation(path)
    with path.open("ab") as file:
        file.write(b"{oops}\n")
    conversation.append("assistant", "kept")
    assert [turn.content for turn in conversation.line()] == ["q", "kept"]
    (problem,) = conversation.problems
    assert problem.startswith(f"{path}:3: not a line of JSON")
    with pytest.raises(SessionError, match=r"c\.jsonl:3"):
        open_conversation(path)


WRITER = """
import sys
from pathlib import Path
from core.chat.session import open_conversation
conversation = open_conversation(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[3])):
    conversation.append("user", f"{sys.argv[2]} {i} " + "x" * 20_000)
    print(i, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_apps_at_once_lose_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST)
    mine = open_conversation(path)
    others = [writer(path, name, 60) for name in ("left", "right")]
    for other in others:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    for i in range(60):
        mine.append("user", f"mine {i} ")
    for other in others:
        other.communicate()
        assert other.returncode == 0
    texts = path.read_text()
    for name in ("left", "right", "mine"):
        for i in range(60):
            assert f'"content":"{name} {i} ' in texts
    assert open_conversation(path).problems == ()
    assert texts.count("\n") == 2 + 180
    mine.refresh()
    assert [turn.content for turn in mine.line()] == ["q", *(f"mine {i} " for i in range(60))]


def test_a_kill_loses_at_most_the_line_that_was_being_written(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, FIRST)
    process = writer(path, "said", 100_000)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    acknowledged: list[int] = []
    for line in process.stdout:
        acknowledged += [int(line)] if line.endswith("\n") else []
        if len(acknowledged) == 50:
            process.kill()
    assert len(acknowledged) >= 50
    assert process.wait() == -signal.SIGKILL
    process.stdin.close()
    process.stdout.close()
    conversation = open_conversation(path)
    contents = [turn.content.split(" x")[0] for turn in conversation.line()]
    assert contents[: len(acknowledged) + 1] == ["q", *(f"said {i}" for i in acknowledged)]
    assert len(contents) <= len(acknowledged) + 2
    conversation.append("user", "on we go")
    assert said(path)[-1] == "on we go"


def test_a_full_disk_is_told_and_leaves_a_file_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HEADER, FIRST)
    conversation = open_conversation(path)
    real_write, left = os.write, [25]

    def write_until_full(handle: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        written = real_write(handle, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(SessionError, match="cannot be written: No space left on device"):
        conversation.append("assistant", "an answer")
    monkeypatch.undo()
    assert [turn.content for turn in conversation.line()] == ["q"]
    conversation.append("assistant", "an answer")
    assert said(path) == ["q", "an answer"]
    assert len(open_conversation(path).problems) == 1
