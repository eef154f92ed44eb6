"""F1: answers in columns, and which of them is the better one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from core.workspace import Workspace


async def test_compare_answers_in_columns_and_keeps_the_better_one(
    start_chat: Callable[..., Any], chat_workspace: Workspace
) -> None:
    async with start_chat(answers=["base says"], adapter_answers={"tuned": ["tuned says"]}) as chat:
        await chat.ask("who are you?")
        await chat.pilot.press("ctrl+t")
        await chat.pilot.pause()
        await chat.pilot.press("down", "enter")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        assert chat.screen.input.text == "who are you?"
        await chat.pilot.press("enter")
        await chat.answered()
        assert [chat.texts(column)[-1] for column in (0, 1)] == ["base says", "tuned says"]
        await chat.pilot.press("alt+2")
        await chat.pilot.pause()
    rows = [json.loads(line) for line in (chat_workspace.data / "preferences.jsonl").read_text().splitlines()]
    assert rows[0]["prompt"] == [{"role": "user", "content": "who are you?"}]
    assert rows[0]["chosen"] == {"role": "assistant", "content": "tuned says"}
    assert rows[0]["rejected"] == {"role": "assistant", "content": "base says"}


async def test_compare_asks_columns_of_one_base_in_one_request_with_one_seed(
    start_chat: Callable[..., Any], tmp_path: Any
) -> None:
    record = tmp_path / "requests.jsonl"
    async with start_chat(answers=["x"], record=str(record)) as chat:
        await chat.type("/compare base tuned other")
        await chat.until(lambda: len(chat.screen.views) == 3, "three columns")
        await chat.ask("hi")
    asked = [json.loads(line) for line in record.read_text().splitlines()]
    asked = [request for request in asked if request["type"] == "generate"]
    assert sorted(len(request["rows"]) for request in asked) == [1, 2]
    assert len({request["sampling"]["seed"] for request in asked}) == 1
    assert asked[0]["sampling"]["seed"] != 0


async def test_one_question_has_one_verdict(start_chat: Callable[..., Any], chat_workspace: Workspace) -> None:
    kept = chat_workspace.data / "preferences.jsonl"

    def pairs() -> list[tuple[str, str]]:
        rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        return [(row["chosen"]["content"], row["rejected"]["content"]) for row in rows]

    async with start_chat(answers=["A"], adapter_answers={"tuned": ["B"]}) as chat:
        await chat.type("/compare base tuned")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        await chat.ask("q1")
        await chat.pilot.press("alt+1")
        assert pairs() == [("A", "B")]
        await chat.pilot.press("alt+2")
        assert pairs() == [("B", "A")]
        assert [chat.entry(1, column).badge for column in (0, 1)] == ["", "✓ good"]
        await chat.ask("q2")
        await chat.pilot.press("alt+1")
        assert pairs() == [("B", "A"), ("A", "B")]
        await chat.pilot.press("alt+1")
        assert pairs() == [("B", "A")]
        assert chat.entry(3, 0).badge == ""


async def test_a_stopped_answer_is_no_half_of_a_pair(start_chat: Callable[..., Any], chat_workspace: Workspace) -> None:
    async with start_chat(answers=["A"], adapter_answers={"tuned": ["word " * 500]}, pace=0.01) as chat:
        await chat.type("/compare base tuned")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        await chat.type("q")
        await chat.until(lambda: len(chat.texts(1)) == 2 and "word" in chat.texts(1)[1], "a part")
        await chat.pilot.press("escape")
        await chat.answered()
        await chat.pilot.press("alt+1")
        await chat.pilot.pause()
    assert not (chat_workspace.data / "preferences.jsonl").exists()
