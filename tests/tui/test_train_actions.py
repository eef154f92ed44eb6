"""F3: runs are asked for things, opened, deleted, resumed."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Static

from core.workspace import Workspace
from scripted_runs import ScriptedRun
from train_app import ended, hasten, running
from tui.screens.train import TrainScreen


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


async def test_a_run_is_asked_to_save_evaluate_and_stop(train: Any, chat_workspace: Workspace) -> None:
    run = running(chat_workspace).run
    async with train() as screen:
        await screen.press("w", "v")
        assert list(run.wishes()) == ["save", "evaluate"]
        await screen.press("x", "n")
        assert "stop" not in run.wishes()
        await screen.press("x", "y")
        await screen.until(lambda: "stop" in run.wishes(), "the wish")
        await screen.press("x")
        assert "End it now?" in str(screen.screen.query(Static).first().content)
        await screen.press("n")


async def test_an_ended_run_is_not_asked_for_anything(train: Any, chat_workspace: Workspace) -> None:
    run = ended(chat_workspace, "old").run
    async with train() as screen:
        await screen.press("x", "w", "v")
        assert screen.toasts == ["old does not run."] * 3
        assert list(run.wishes()) == []


async def test_a_run_is_deleted_after_a_question(train: Any, chat_workspace: Workspace) -> None:
    old = ended(chat_workspace, "old").run
    new = running(chat_workspace).run
    async with train() as screen:
        await screen.press("d")
        assert screen.toasts == ["zh-lora is still going on: x stops it."]
        await screen.press("down", "d", "y")
        await screen.until(lambda: not old.path.exists(), "that it is gone")
        await screen.until(lambda: len(screen.rows()) == 1, "the list")
        assert new.path.exists()


async def test_what_was_trained_is_opened_beside_its_base(train_in_app: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old")
    async with train_in_app() as screen:
        await screen.press("o")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        await screen.until(lambda: len(screen.chat.screen.conversation.columns) == 2, "two columns")
        columns = screen.chat.screen.conversation.columns
        assert [(column.model, column.adapter) for column in columns] == [("demo", None), ("demo", "old/step-000050")]
        await screen.press("f3")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen) and screen.rows(), "the list")
        await screen.press("enter", "4", "o")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        await screen.until(lambda: screen.chat.screen.conversation.columns[1].adapter == "old/step-000100", "the other")


async def test_a_run_that_saved_nothing_says_so(train: Any, chat_workspace: Workspace) -> None:
    running(chat_workspace)
    async with train() as screen:
        await screen.press("o")
        await screen.until(lambda: screen.toasts, "the reason")
        assert screen.toasts == ["zh-lora has saved nothing yet w saves a checkpoint now"]


async def test_an_ended_run_without_weights_says_why_and_what_helps(train: Any, chat_workspace: Workspace) -> None:
    run = ScriptedRun(chat_workspace.runs / "short")
    run.start(alive=False)
    run.ready()
    run.steps(1, 5)
    run.fail("killed by signal 9", "")
    async with train() as screen:
        await screen.press("t")
        await screen.until(lambda: screen.toasts, "the reason")
        why = "short has saved nothing: it ended before its first checkpoint"
        assert screen.toasts == [f"{why} c makes another of it: give that a smaller save_steps"]


async def test_resuming_what_cannot_be_resumed_is_told(train: Any, chat_workspace: Workspace) -> None:
    running(chat_workspace)
    async with train() as screen:
        await screen.press("r")
        await screen.until(lambda: screen.toasts, "the reason")
        assert screen.toasts[0].startswith("the run zh-lora is still going on")
