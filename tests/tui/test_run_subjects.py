"""From a policy's run to its three columns, and to an evaluation of the three; what a reward model says instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.workspace import Workspace
from folders import make_adapter
from scripted_runs import BEGAN, ScriptedRun
from train_app import hasten
from tui.run_subjects import subjects_of
from tui.screens.choose import ChooseWord
from tui.screens.evaluate_form import EvaluationForm
from tui.screens.train import TrainScreen
from tui.widgets.column import ColumnView


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


def policy(workspace: Workspace, *, start: str = "telecom", stage: str = "ppo") -> ScriptedRun:
    """A finished run with two checkpoints and its end, that went on from a run which is still there."""
    adapter = workspace.runs / "telecom"
    make_adapter(adapter, "demo")
    run = ScriptedRun(workspace.runs / "zh-ppo", stage=stage)
    if start:
        run.configure(adapter_name_or_path=f"[{workspace.runs / start}]")
    run.configure(reward_model=workspace.runs / "zh-rm")
    run.start(alive=False)
    run.beside("telecom (adapter) on demo", "zh-rm")
    run.ready()
    run.ppo_steps(1, 100)
    run.save(50)
    run.save(100)
    run.finish()
    return run


def reward_run(workspace: Workspace) -> ScriptedRun:
    run = ScriptedRun(workspace.runs / "zh-rm", stage="rm", launched=BEGAN - 100)
    run.start(alive=False)
    run.ready()
    run.pair_steps(1, 100)
    run.save(100)
    run.finish()
    return run


# --- who they are -----------------------------------------------------------------------------------------------


def test_base_start_and_checkpoint_are_known_by_the_names_that_others_take(chat_workspace: Workspace) -> None:
    run = policy(chat_workspace)
    folder = run.run.checkpoint(50)
    found = subjects_of(run.run, "demo", folder, chat_workspace)
    assert found.speakers == [("demo", None), ("demo", "telecom"), ("demo", "zh-ppo/step-000050")]
    assert found.evaluated == {
        "model_name_or_path": "demo",
        "adapter_name_or_path": "telecom,zh-ppo/step-000050",
        "include_base": "true",
        "reward_model": "zh-rm",
    }


def test_a_function_scores_an_evaluation_too(chat_workspace: Workspace) -> None:
    run = ScriptedRun(chat_workspace.runs / "zh-ppo", stage="ppo")
    run.configure(reward_model="/elsewhere/rules.py:short")
    found = subjects_of(run.run, "demo", run.save(10), chat_workspace)
    assert found.speakers == [("demo", None), ("demo", "zh-ppo/step-000010")]
    assert found.evaluated["reward_model"] == "/elsewhere/rules.py:short"


def test_a_whole_model_is_asked_beside_what_it_was(chat_workspace: Workspace, tmp_path: Path) -> None:
    run = policy(chat_workspace)
    whole = tmp_path / "whole"
    whole.mkdir()
    found = subjects_of(run.run, "demo", whole, chat_workspace)
    assert found.speakers == [("demo", None), (str(whole), None)]
    assert found.evaluated == {"model_name_or_path": str(whole), "reward_model": "zh-rm"}


# --- keys -------------------------------------------------------------------------------------------------------


async def test_one_key_and_a_checkpoint_open_three_columns(train_in_app: Any, chat_workspace: Workspace) -> None:
    policy(chat_workspace)
    async with train_in_app() as screen:
        await screen.press("o")
        assert isinstance(screen.screen, ChooseWord)
        assert screen.screen._words == ["step 100: reward 1.27, KL 3.64", "step 50: reward 0.275, KL 2.04"]
        await screen.press("down", "enter")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        await screen.until(lambda: len(screen.chat.screen.conversation.columns) == 3, "three columns")
        columns = screen.chat.screen.conversation.columns
        assert [(column.model, column.adapter) for column in columns] == [
            ("demo", None),
            ("demo", "telecom"),
            ("demo", "zh-ppo/step-000050"),
        ]
        third = list(screen.chat.screen.query(ColumnView))[2]
        for text, shown in (
            ("", " 3  zh-ppo/step-000050"),
            ("alt+3 keeps it", " 3  alt+3 keeps it  …-ppo/step-000050"),
        ):
            third.tell(text)
            assert third._head.content.plain == shown


async def test_on_the_page_of_checkpoints_the_highlighted_one_is_meant(
    train_in_app: Any, chat_workspace: Workspace
) -> None:
    policy(chat_workspace, stage="dpo")
    async with train_in_app() as screen:
        await screen.press("4", "down")
        assert "↑↓ checkpoint  ← list" in screen.text("#train-keys")
        await screen.press("left")
        assert screen.text("#train-keys").startswith("enter open")
        await screen.press("4", "o")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        await screen.until(lambda: len(screen.chat.screen.conversation.columns) == 3, "three columns")
        assert screen.chat.screen.conversation.columns[2].adapter == "zh-ppo/step-000050"


async def test_another_key_evaluates_the_three_with_the_reward_as_a_metric(
    train: Any, chat_workspace: Workspace
) -> None:
    policy(chat_workspace)
    async with train() as screen:
        await screen.press("t", "enter")
        await screen.until(lambda: isinstance(screen.screen, EvaluationForm), "the form")
        await screen.until(lambda: screen.screen.query("GroupedForm"), "its rows")
        values = screen.screen.form.values
        assert values["adapter_name_or_path"] == "telecom,zh-ppo/step-000100"
        assert (values["include_base"], values["reward_model"], values["metrics"]) == ("true", "zh-rm", "")


async def test_where_nothing_was_gone_on_from_it_is_said(train_in_app: Any, chat_workspace: Workspace) -> None:
    policy(chat_workspace, start="")
    async with train_in_app() as screen:
        await screen.press("o", "enter")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        await screen.until(lambda: len(screen.chat.screen.conversation.columns) == 2, "two columns")
        assert "zh-ppo went on from no adapter that is still there." in screen.toasts


async def test_a_reward_model_has_no_answers_but_scores(train: Any, chat_workspace: Workspace) -> None:
    reward_run(chat_workspace)
    async with train() as screen:
        await screen.press("o", "e")
        assert [toast.split(":")[0] for toast in screen.toasts] == ["zh-rm is a reward model"] * 2
        assert isinstance(screen.screen, TrainScreen)
        await screen.press("t")
        await screen.until(lambda: isinstance(screen.screen, ChooseWord), "the question")
        await screen.press("down", "enter")
        await screen.until(lambda: isinstance(screen.screen, EvaluationForm), "the form")
        await screen.until(lambda: screen.screen.query("GroupedForm"), "its rows")
        values = screen.screen.form.values
        assert (values["model_name_or_path"], values["reward_model"]) == ("demo", "zh-rm/step-000100")
        assert values["adapter_name_or_path"] == ""
        await screen.press("escape", "t")
        await screen.until(lambda: isinstance(screen.screen, ChooseWord), "the question")
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.screen, EvaluationForm), "the form")
        await screen.until(lambda: screen.screen.query("GroupedForm"), "its rows")
        values = screen.screen.form.values
        assert (values["adapter_name_or_path"], values["task"]) == ("zh-rm/step-000100", "comparisons")
        assert (values["model_name_or_path"], values["reward_model"]) == ("demo", "")
