"""What a terminal sends when one types and pastes, faster than the app draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.chat.store import SessionStore
from finetui_app import INPUT
from terminal import Terminal

Start = Callable[..., Terminal]


def questions(workspace: Path) -> list[str]:
    store = SessionStore(workspace / "sessions")
    return [turn.content for summary in store.list() for turn in store.open(summary.path).line() if turn.role == "user"]


def test_the_lines_of_a_paste_stay_lines(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["fine"])
    app.wait_for(lambda shown: INPUT in shown and "demo" in shown)
    app.paste("one\ntwo\n")
    app.wait_for("two")
    assert "␍" not in app.text()
    app.press("enter")
    app.wait_for("fine")
    assert questions(workspace) == ["one\ntwo\n"]


def test_no_letter_typed_while_the_app_starts_is_lost(workspace: Path, start: Start) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    app = start(workspace, answers=["fine"])
    for letter in letters:
        app.send(letter)
        app.pump(0.01)
    app.wait_for(lambda shown: letters in shown and "demo" in shown)
    app.press("enter")
    app.wait_for("fine")
    assert questions(workspace) == [letters]


def test_a_command_and_its_enter_in_one_burst(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["fine"])
    app.wait_for(lambda shown: INPUT in shown and "demo" in shown)
    app.type("/model\n")
    app.wait_for("Who answers?")
    app.press("escape")
    app.type("/mo")
    app.wait_for("/models")
    app.type("del\n")
    app.wait_for("Who answers?")


def test_a_command_in_one_burst_on_a_message(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["fine"])
    app.wait_for(lambda shown: INPUT in shown and "demo" in shown)
    app.type("hello\n")
    app.wait_for("1 tok")
    app.press("ctrl+up")
    app.type("/rate good\n")
    app.wait_for("✓ good")
    assert questions(workspace) == ["hello"]


def test_keys_in_one_burst_count_in_their_order(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["fine"])
    app.wait_for(lambda shown: INPUT in shown and "demo" in shown)
    app.type("teh")
    app.press("backspace", "backspace")
    app.type("he")
    app.press("home")
    app.type("not ")
    app.press("end")
    app.type(" end\n")
    app.wait_for("fine")
    app.type("all of this")
    app.press("f7", "backspace")
    app.type("second\n")
    app.wait_for(lambda shown: shown.count("fine") == 2)
    assert questions(workspace) == ["not the end", "second"]
