"""A conversation says what was said: in memory, in its file, and to another app that has it open."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Message, Usage
from core.chat.session import Column, Conversation, Turn, new_conversation, open_conversation, title_of
from core.errors import SessionError
from hostile import CORPUS

USAGE = Usage(10, 4, 6, 2000, 0.125, 0.5)


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    return new_conversation(tmp_path / "sessions", system="Be brief.", columns=[Column(0, "m", None, "base")])


def reopened(conversation: Conversation) -> Conversation:
    assert conversation.path is not None
    return open_conversation(conversation.path)


def said(conversation: Conversation, column: int = 0) -> list[str]:
    return [turn.content for turn in conversation.line(column)]


def records(conversation: Conversation) -> list[dict[str, Any]]:
    assert conversation.path is not None
    return [json.loads(line) for line in conversation.path.read_bytes().splitlines()]


def test_what_was_said_is_in_the_file_at_once(conversation: Conversation) -> None:
    assert conversation.path is None
    question = conversation.append("user", "Hello")
    answer = conversation.append("assistant", "Hi", model="m", adapter="tuned", finish_reason="length", usage=USAGE)
    assert answer.parent == question.id
    again = reopened(conversation)
    assert again.line() == conversation.line() == (question, answer)
    assert again.messages() == (Message("system", "Be brief."), Message("user", "Hello"), Message("assistant", "Hi"))
    assert again.columns == (Column(0, "m", None, "base"),)
    assert (again.created, again.updated) == (conversation.created, answer.created)
    assert again.problems == ()


def test_the_file_is_private_and_named_after_its_time(conversation: Conversation) -> None:
    conversation.append("user", "Hello")
    path = conversation.path
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}\.jsonl", path.name)
    header, turn = records(conversation)
    assert (header["type"], header["schema"], header["system"]) == ("header", 1, "Be brief.")
    assert (turn["type"], turn["role"], turn["content"], turn["parent"]) == ("turn", "user", "Hello", None)


def test_retry_and_edit_make_branches_and_overwrite_nothing(conversation: Conversation) -> None:
    question = conversation.append("user", "q")
    first = conversation.append("assistant", "first")
    conversation.rewind(question.id)
    second = conversation.append("assistant", "second")
    assert conversation.branches(first.id) == conversation.branches(second.id) == (first, second)
    conversation.append("user", "q2")
    conversation.rewind(None)
    edited = conversation.append("user", "q edited")
    assert (edited.parent, said(conversation)) == (None, ["q edited"])
    assert conversation.branches(question.id) == (question, edited)
    assert said(reopened(conversation)) == ["q edited"]


def test_walking_to_a_branch_goes_down_to_what_was_said_last_there(conversation: Conversation) -> None:
    question = conversation.append("user", "q")
    conversation.append("assistant", "a1")
    follow_up = conversation.append("user", "b1")
    conversation.append("assistant", "c1")
    conversation.rewind(follow_up.id)
    conversation.append("assistant", "c2")
    conversation.rewind(question.id)
    other = conversation.append("assistant", "a2")
    conversation.activate(question.id)
    assert said(conversation) == ["q", "a2"]
    conversation.activate(follow_up.parent or "")
    assert said(conversation) == said(reopened(conversation)) == ["q", "a1", "b1", "c2"]
    conversation.activate(other.id)
    assert said(reopened(conversation)) == ["q", "a2"]


def test_a_rewind_that_nothing_follows_is_forgotten(conversation: Conversation) -> None:
    question = conversation.append("user", "q")
    conversation.append("assistant", "a")
    conversation.rewind(question.id)
    assert said(conversation) == ["q"]
    assert said(reopened(conversation)) == ["q", "a"]


def test_columns_have_histories_of_their_own(conversation: Conversation) -> None:
    for column in (0, 1):
        conversation.append("user", "q", column=column)
    left = conversation.append("assistant", "left", column=0)
    right = conversation.append("assistant", "right", column=1)
    assert (said(conversation, 0), said(conversation, 1)) == (["q", "left"], ["q", "right"])
    assert conversation.branches(left.id) == (left,)
    conversation.rewind(right.parent, 1)
    retried = conversation.append("assistant", "right again", column=1)
    assert conversation.branches(right.id) == (right, retried)
    assert said(reopened(conversation), 0) == ["q", "left"]
    assert said(reopened(conversation), 1) == ["q", "right again"]


def test_columns_can_share_a_question(conversation: Conversation) -> None:
    question = conversation.append("user", "q")
    left = conversation.append("assistant", "left", column=0)
    right = conversation.append("assistant", "right", column=1, parent=question.id)
    assert said(conversation, 1) == ["q", "right"]
    assert conversation.branches(right.id) == (right,)
    conversation.activate(left.id)
    assert said(conversation, 1) == ["q", "right"]


def test_changes_to_the_conversation_itself(conversation: Conversation) -> None:
    conversation.rename("Given")
    conversation.set_system("Be long.")
    question = conversation.append("user", "A question\nwith more")
    assert [record["type"] for record in records(conversation)] == ["header", "turn"]
    answer = conversation.append("assistant", "a")
    conversation.rate(answer.id, "bad")
    conversation.rate(answer.id, "good")
    conversation.rate(question.id, "bad")
    conversation.rate(question.id, None)
    conversation.set_system("Be kind.")
    conversation.set_system("Be kind.")
    columns = (Column(0, "m", None, "base"), Column(1, "m", "tuned", "SFT"))
    conversation.set_columns(columns)
    again = reopened(conversation)
    assert (again.title, again.system, again.columns) == ("Given", "Be kind.", columns)
    assert (again.rating(answer.id), again.rating(question.id), again.rating("none")) == ("good", None, None)
    assert [record["type"] for record in records(conversation)].count("system_changed") == 1
    again.rename("")
    assert reopened(again).title == "A question"


def test_the_title_is_the_first_line_of_the_first_question(conversation: Conversation) -> None:
    assert conversation.title == ""
    conversation.append("user", "\n  " + "word " * 40 + "\nmore")
    assert conversation.title == ("word " * 12)[:59].rstrip() + "…"
    assert title_of(" \n\t") == ""


@pytest.mark.parametrize("name", CORPUS)
def test_every_text_comes_back_as_it_was(conversation: Conversation, name: str) -> None:
    turn = conversation.append("user", CORPUS[name], model=CORPUS[name][:50])
    assert reopened(conversation).line() == (turn,)
    assert len(records(conversation)) == 2


def test_unknown_messages_are_told(conversation: Conversation) -> None:
    with pytest.raises(SessionError, match="no message 'x'"):
        conversation.append("user", "q", parent="x")
    assert conversation.path is None
    for act in (conversation.activate, conversation.rewind, conversation.branches, conversation.turn):
        with pytest.raises(SessionError, match="no message 'x'"):
            act("x")
    with pytest.raises(SessionError, match="no message 'x'"):
        conversation.rate("x", "good")


# --- two apps ---------------------------------------------------------------------------------------------------


def test_another_app_sees_what_is_appended(conversation: Conversation) -> None:
    conversation.append("user", "q")
    other = reopened(conversation)
    assert not other.refresh()
    answer = conversation.append("assistant", "a")
    conversation.rate(answer.id, "good")
    conversation.rename("new")
    assert other.refresh()
    assert (said(other), other.rating(answer.id), other.title) == (["q", "a"], "good", "new")
    assert not other.refresh()


def test_another_apps_branch_does_not_move_my_line(conversation: Conversation) -> None:
    question = conversation.append("user", "q")
    mine = conversation.append("assistant", "mine")
    other = reopened(conversation)
    other.rewind(question.id)
    theirs = other.append("assistant", "theirs")
    other.append("user", "and then")
    other.activate(mine.id)
    assert conversation.refresh()
    assert said(conversation) == ["q", "mine"]
    assert conversation.branches(mine.id) == (mine, theirs)
    conversation.append("user", "go on")
    assert said(conversation) == ["q", "mine", "go on"]
    other.refresh()
    assert said(other) == ["q", "mine", "go on"]


def test_a_file_that_an_editor_replaced_is_read_anew(conversation: Conversation) -> None:
    first = conversation.append("user", "q")
    conversation.append("assistant", "a typo")
    conversation.rewind(first.id)
    path = conversation.path
    assert path is not None
    copy = path.with_suffix(".new")
    copy.write_text(path.read_text().replace("a typo", "a word"))
    copy.replace(path)
    assert conversation.refresh()
    assert said(conversation) == ["q"]
    assert [turn.content for turn in conversation.line()] == ["q"]
    conversation.append("assistant", "b")
    assert [branch.content for branch in conversation.branches(conversation.line()[-1].id)] == ["a word", "b"]


def test_a_file_that_is_gone_is_told_and_not_begun_again(conversation: Conversation) -> None:
    conversation.append("user", "q")
    path = conversation.path
    assert path is not None
    path.unlink()
    with pytest.raises(SessionError, match="is gone: nothing more can be written"):
        conversation.append("assistant", "a")
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file where the folder should be")
    conversation = new_conversation(tmp_path / "sessions")
    with pytest.raises(SessionError, match="cannot be written: File exists"):
        conversation.append("user", "q")
    assert conversation.path is None


# --- any history ------------------------------------------------------------------------------------------------


class Model:
    """What a conversation should be, in the plainest way: every turn's whole line."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, ...]] = {}
        self.columns: dict[str, int] = {}
        self.active: dict[int, tuple[str, ...]] = {0: (), 1: ()}

    def append(self, turn: Turn) -> None:
        above = self.lines[turn.parent] if turn.parent else ()
        self.active[turn.column] = self.lines[turn.id] = (*above, turn.id)
        self.columns[turn.id] = turn.column

    def activate(self, turn_id: str) -> None:
        line, column = self.lines[turn_id], self.columns[turn_id]
        below = [other for other in self.lines.values() if other[: len(line)] == line]
        self.active[column] = [other for other in below if self.columns[other[-1]] == column][-1]

    def branches(self, turn_id: str) -> tuple[str, ...]:
        above = self.lines[turn_id][:-1]
        return tuple(
            other
            for other, line in self.lines.items()
            if line[:-1] == above and self.columns[other] == self.columns[turn_id]
        )


@pytest.mark.parametrize("seed", range(8))
def test_any_history_is_the_same_in_memory_on_disk_and_next_door(conversation: Conversation, seed: int) -> None:
    chance = random.Random(seed)
    model = Model()
    model.append(conversation.append("user", "first"))
    neighbour = reopened(conversation)
    written = {0: (), 1: ()} | {0: model.active[0]}
    for step in range(120):
        column = chance.randrange(2)
        of_column = [turn for turn, its in model.columns.items() if its == column]
        match chance.choice(["append", "append", "rewind", "activate"]):
            case "append":
                model.append(conversation.append("user", f"turn {step}", column=column))
                written = dict(model.active) | {1 - column: written[1 - column]}
            case "rewind":
                target = chance.choice([None, *of_column])
                conversation.rewind(target, column)
                model.active[column] = model.lines[target] if target else ()
            case "activate" if of_column:
                before = model.active[column]
                target = chance.choice(of_column)
                conversation.activate(target)
                model.activate(target)
                if model.active[column] != before:
                    written[column] = model.active[column]
        for each in (0, 1):
            assert tuple(turn.id for turn in conversation.line(each)) == model.active[each]
    again = reopened(conversation)
    neighbour.refresh()
    for turn_id in model.lines:
        expected = model.branches(turn_id)
        for one in (conversation, again, neighbour):
            assert tuple(turn.id for turn in one.branches(turn_id)) == expected
    for each in (0, 1):
        assert tuple(turn.id for turn in again.line(each)) == written[each]


def test_a_withdrawn_question_is_no_part_of_the_conversation(tmp_path: Path) -> None:
    conversation = new_conversation(tmp_path)
    first = conversation.append("user", "first")
    answer = conversation.append("assistant", "answer")
    lost = conversation.append("user", "too long to send")
    conversation.withdraw(lost.id)
    assert conversation.line() == (first, answer)
    second = conversation.append("user", "second")
    assert conversation.branches(second.id) == (second,)
    assert conversation.path is not None
    again = open_conversation(conversation.path)
    assert [turn.content for turn in again.line()] == ["first", "answer", "second"]
    with pytest.raises(SessionError, match="no message"):
        again.turn(lost.id)


def test_a_withdrawn_first_question_gives_no_title(tmp_path: Path) -> None:
    conversation = new_conversation(tmp_path)
    conversation.withdraw(conversation.append("user", "line 0: too long").id)
    conversation.append("user", "short")
    assert conversation.title == "short"
