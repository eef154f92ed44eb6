"""What leaves a conversation as files for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.chat.export import FORMATS, SUFFIXES, export
from core.chat.session import Conversation, new_conversation
from core.errors import SessionError
from hostile import CORPUS


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    conversation = new_conversation(tmp_path / "sessions", title="Capitals", system="Be brief.")
    conversation.append("user", "q1")
    conversation.append("assistant", "a1", model="smol", adapter="tuned")
    conversation.append("user", "q2")
    conversation.append("assistant", "a2", model="smol", finish_reason="stopped")
    return conversation


def messages(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


def test_markdown(conversation: Conversation) -> None:
    assert export(conversation, "markdown") == (
        "# Capitals\n\n## System\n\nBe brief.\n\n## User\n\nq1\n\n## Assistant · smol + tuned\n\na1\n\n"
        "## User\n\nq2\n\n## Assistant · smol\n\na2\n\n*the answer ended early: stopped*\n"
    )


def test_messages(conversation: Conversation) -> None:
    text = export(conversation, "messages")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "messages": messages(
            ("system", "Be brief."), ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2")
        )
    }


def test_sharegpt(conversation: Conversation) -> None:
    assert json.loads(export(conversation, "sharegpt")) == [
        {
            "system": "Be brief.",
            "conversations": [
                {"from": "human", "value": "q1"},
                {"from": "gpt", "value": "a1"},
                {"from": "human", "value": "q2"},
                {"from": "gpt", "value": "a2"},
            ],
        }
    ]


def test_alpaca(conversation: Conversation) -> None:
    assert json.loads(export(conversation, "alpaca")) == [
        {"instruction": "q2", "input": "", "output": "a2", "system": "Be brief.", "history": [["q1", "a1"]]}
    ]


def test_training_formats_leave_out_what_was_not_answered(tmp_path: Path) -> None:
    conversation = new_conversation(tmp_path)
    for role, content in [("user", "lost"), ("user", "q"), ("assistant", "a"), ("user", "open")]:
        conversation.append(role, content)  # type: ignore[arg-type]
    (row,) = json.loads(export(conversation, "alpaca"))
    assert (row["instruction"], row["output"], row["history"], row["system"]) == ("q", "a", [], "")
    (row,) = json.loads(export(conversation, "sharegpt"))
    assert [turn["value"] for turn in row["conversations"]] == ["q", "a"]
    assert len(json.loads(export(conversation, "messages"))["messages"]) == 4


def test_only_the_asked_column_and_branch(conversation: Conversation) -> None:
    conversation.rewind(conversation.line()[0].id)
    conversation.append("assistant", "another a1")
    conversation.append("user", "right", column=1)
    assert [message["content"] for message in json.loads(export(conversation, "messages"))["messages"]] == [
        "Be brief.",
        "q1",
        "another a1",
    ]
    assert json.loads(export(conversation, "messages", 1))["messages"][1:] == messages(("user", "right"))


def test_what_cannot_be_exported_is_told(conversation: Conversation, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="there is no format 'alpacca'") as raised:
        export(conversation, "alpacca")
    assert raised.value.hint == "did you mean 'alpaca'?"
    with pytest.raises(SessionError, match="nothing has been said yet"):
        export(conversation, "markdown", 3)
    unanswered = new_conversation(tmp_path)
    unanswered.append("user", "q")
    with pytest.raises(SessionError, match="no question has been answered yet"):
        export(unanswered, "sharegpt")


@pytest.mark.parametrize("name", CORPUS)
def test_every_text_leaves_whole_and_none_commands_a_terminal(tmp_path: Path, name: str) -> None:
    text = CORPUS[name]
    conversation = new_conversation(tmp_path, system=text)
    conversation.append("user", text)
    conversation.append("assistant", text, model=text[:50])
    for format in FORMATS:
        written = export(conversation, format).encode()
        assert b"\x1b" not in written
        assert b"\x07" not in written
    assert json.loads(export(conversation, "messages"))["messages"][2]["content"] == text
    assert json.loads(export(conversation, "alpaca"))[0]["output"] == text
    assert json.loads(export(conversation, "sharegpt"))[0]["conversations"][1]["value"] == text
    assert set(SUFFIXES) == set(FORMATS)
