"""The folder of conversations: what is listed and found, what is deleted and comes back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core.chat.session import Column, Conversation
from core.chat.store import SessionStore
from core.errors import SessionError

HEADER = '{"type":"header","schema":1,"created":100.0}\n'


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions")


def talk(store: SessionStore, *texts: str, title: str = "", model: str = "m") -> Conversation:
    conversation = store.create(title, columns=[Column(0, "configured", None, "")])
    for number, text in enumerate(texts):
        if number % 2:
            conversation.append("assistant", text, model=model)
        else:
            conversation.append("user", text)
    return conversation


def file(store: SessionStore, name: str, text: str) -> Path:
    store.folder.mkdir(exist_ok=True)
    path = store.folder / name
    path.write_text(text)
    return path


def turn(number: int, created: float, text: str = "q") -> str:
    return (
        f'{{"type":"turn","id":"{number}","parent":null,"column":0,"role":"user","content":"{text}",'
        f'"created":{created}}}\n'
    )


def test_a_folder_without_conversations(store: SessionStore) -> None:
    assert (store.list(), store.search("x"), store.last()) == ([], [], None)
    assert not store.folder.exists()


def test_a_summary_says_what_a_list_shows(store: SessionStore) -> None:
    conversation = talk(store, "What is it?\nreally", "This.", "And that?", "That.", model="tuned")
    (summary,) = store.list()
    assert summary.path == conversation.path
    assert (summary.title, summary.message_count, summary.model) == ("What is it?", 4, "tuned")
    assert (summary.updated, summary.problem) == (conversation.updated, "")
    conversation.rename("Renamed")
    assert [summary.title for summary in store.list()] == ["Renamed"]


def test_summaries_agree_with_the_opened_conversations(store: SessionStore) -> None:
    talk(store, "only a question")
    talk(store, "q", "a", title="Given")
    talk(store, "q", "a").rename("Changed")
    for summary in store.list():
        conversation = store.open(summary.path)
        assert (summary.title, summary.updated) == (conversation.title, conversation.updated)
        assert summary.message_count == len(conversation.line())
    assert {summary.model for summary in store.list()} == {"m", "configured"}


def test_the_newest_comes_first(store: SessionStore) -> None:
    file(store, "b.jsonl", HEADER + turn(1, 300.0))
    file(store, "a.jsonl", HEADER + turn(1, 100.0) + turn(2, 900.0))
    file(store, "c.jsonl", HEADER + turn(1, 500.0))
    file(store, "notes.txt", "not a conversation")
    assert [summary.path.name for summary in store.list()] == ["a.jsonl", "c.jsonl", "b.jsonl"]
    assert store.last() == store.folder / "a.jsonl"
    file(store, "b.jsonl", HEADER + turn(1, 300.0) + turn(2, 1000.0))
    assert store.last() == store.folder / "b.jsonl"


def test_hand_spelled_lines_count_too(store: SessionStore) -> None:
    file(store, "a.jsonl", HEADER + turn(1, 100.0).replace('{"type":"turn",', '{ "type": "turn", ') + turn(2, 200.0))
    (summary,) = store.list()
    assert (summary.message_count, summary.title, summary.updated) == (2, "q", 200.0)


def test_torn_lines_are_no_messages(store: SessionStore) -> None:
    conversation = talk(store, "q", "a")
    assert conversation.path is not None
    with conversation.path.open("ab") as other:
        other.write(b'{"type":"turn","id":"x","content":"cut')
    assert [summary.message_count for summary in store.list()] == [2]
    conversation.append("user", "more")
    assert [summary.message_count for summary in store.list()] == [3]


def test_a_file_that_is_no_conversation_is_listed_with_its_problem(store: SessionStore) -> None:
    file(store, "broken.jsonl", "{oops\n")
    file(store, "empty.jsonl", "")
    file(store, "good.jsonl", HEADER + turn(1, 100.0) + '{"type":"tur')
    problems = {summary.path.name: summary.problem for summary in store.list()}
    assert problems["broken.jsonl"].startswith("not a line of JSON")
    assert problems["empty.jsonl"] == "no conversation"
    assert problems["good.jsonl"] == ""
    assert store.last() == store.folder / "good.jsonl"


def test_an_unchanged_file_is_not_read_again(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(store, "one", "a")
    changed = talk(store, "two", "a")
    store.list()
    read: list[str] = []
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert len(store.list()) == 2
    assert read == []
    changed.append("user", "more")
    assert [summary.message_count for summary in store.list() if summary.path == changed.path] == [3]
    assert read == [changed.path.name if changed.path else ""]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("straße", {"german"}),
        ("STRASSE", {"german"}),
        ("首都", {"chinese"}),
        ('say "hi"', {"quoted"}),
        ("line\nbreak", {"quoted"}),
        ("a\x1bb", {"escape"}),
        ("be brief", {"system"}),
        ("RENAMED", {"german"}),
        ("content", set()),
        ("assistant", set()),
        ("no such text", set()),
        ("  ", {"german", "chinese", "quoted", "escape", "system"}),
    ],
)
def test_search_looks_at_all_that_was_said(store: SessionStore, wanted: str, found: set[str]) -> None:
    conversations = {
        "german": talk(store, "Wo ist die Straße?", "Dort."),
        "chinese": talk(store, "q", "法国的首都是巴黎。"),
        "quoted": talk(store, 'You said: say "hi"', "a line\nbreak"),
        "escape": talk(store, "a\x1bb"),
        "system": talk(store, "q"),
    }
    conversations["german"].rename("renamed")
    conversations["system"].set_system("Be brief.")
    names = {conversation.path: name for name, conversation in conversations.items()}
    assert {names[summary.path] for summary in store.search(wanted)} == found


def test_delete_can_be_undone(store: SessionStore) -> None:
    kept, doomed = talk(store, "kept"), talk(store, "doomed")
    assert doomed.path is not None
    deleted = store.delete(doomed.path)
    assert [summary.path for summary in store.list()] == [kept.path]
    assert store.search("doomed") == []
    store.restore(deleted)
    assert {summary.title for summary in store.list()} == {"kept", "doomed"}
    assert doomed.path.stat().st_mode & 0o777 == 0o600
    assert doomed.append("assistant", "a").content == "a"


def test_what_cannot_be_deleted_or_restored_is_told(store: SessionStore) -> None:
    path = file(store, "a.jsonl", HEADER)
    deleted = store.delete(path)
    with pytest.raises(SessionError, match="cannot be deleted: No such file"):
        store.delete(path)
    path.write_text("something new")
    with pytest.raises(SessionError, match="cannot be restored: File exists") as raised:
        store.restore(deleted)
    assert str(deleted.trash) in raised.value.hint
    assert path.read_text() == "something new"


def test_the_trash_forgets_after_thirty_days(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.delete(file(store, "a.jsonl", HEADER))
    os.utime(first.trash, (0, 0))
    second = store.delete(file(store, "b.jsonl", HEADER))
    assert first.trash.exists()
    later = time.time() + 31 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    store.delete(file(store, "c.jsonl", HEADER))
    assert (first.trash.exists(), second.trash.exists()) == (False, False)
