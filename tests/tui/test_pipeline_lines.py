"""A pipeline on the Train screen: its steps, how far each is, what it stands on; and its row in the list."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from core.runs.events import RunFinished, StepMoved
from core.runs.launch_file import QueuedRun, read_launch, write_launch
from core.workspace import Workspace
from scripted_runs import BEGAN, ScriptedRun
from train_app import hasten, running
from tui.screens.evaluate import EvaluateScreen
from tui.screens.train import TrainScreen
from tui.widgets.answers_page import AnswersPage
from tui.widgets.checkpoints_page import CheckpointsPage


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


def pipeline(workspace: Workspace, *steps: QueuedRun) -> ScriptedRun:
    """A pipeline whose second step is busy."""
    found = ScriptedRun(workspace.runs / "tales", launched=BEGAN + 100)
    write_launch(found.run, dataclasses.replace(read_launch(found.run), kind="pipeline", steps=steps))
    found.start()
    for done, step in enumerate(steps[:2]):
        found.tell(StepMoved(BEGAN + 101, step.name, step.run, "started", done, len(steps)))
    return found


def queued(name: str, folder: Path, **more: Any) -> QueuedRun:
    return QueuedRun(name, str(folder / f"tales-{name}"), **more)


async def test_steps_stand_in_their_order_with_what_they_stand_on(train: Any, chat_workspace: Workspace) -> None:
    runs = chat_workspace.runs
    done = ScriptedRun(runs / "tales-sft", launched=BEGAN)
    done.start()
    done.finish()
    running(chat_workspace, "tales-rm")
    pipeline(
        chat_workspace,
        queued("sft", runs, stage="sft"),
        queued("rm", runs, stage="rm"),
        queued("ppo", Path("/moved/away"), stage="ppo", after=("sft", "rm")),
        queued("compare", runs, kind="evaluation", after=("sft", "ppo")),
    )
    async with train() as screen:
        rows = [row.split("\n") for row in screen.rows()]
        (row,) = [row for row in rows if "tales" in row[0] and "tales-" not in row[0]]
        assert "25%" in row[0]
        assert "pipeline, 2 of 4: rm" in row[1]
        while screen.screen.current.name != "tales":
            await screen.press("down")
        shown = screen.text("StageLines")
        assert [line.rstrip() for line in shown.split("\n") if line] == [
            "✓ sft      sft · finished",
            "▸ rm       rm · running · 41% · 0.6557  59 s",
            "· ppo      ppo · waits",
            "           stands on sft, rm",
            "· compare  eval · waits",
            "           stands on sft, ppo",
        ]
        for key, page, told in (("3", AnswersPage, "answers"), ("4", CheckpointsPage, "checkpoints")):
            await screen.press(key)
            seen = screen.screen.query_one(page)
            text = seen.query_one(Static).content if key == "3" else seen.get_option_at_index(0).prompt
            assert str(text) == f"The {told} of a pipeline are in its steps' runs."
        await screen.press("o", "1")
        assert "tales is a pipeline, of which no step has saved a model that answers" in screen.toasts[-1]
        await screen.press("up" if screen.screen.current.name == "tales" else "down")
        assert "stands on" not in screen.seen()


async def test_a_step_that_is_over_keeps_its_number(train: Any, chat_workspace: Workspace) -> None:
    run = pipeline(chat_workspace, *(queued(name, chat_workspace.runs) for name in ("sft", "rm", "ppo")))
    run.tell(StepMoved(BEGAN + 102, "rm", "tales-rm", "finished", 2, 3))
    async with train() as screen:
        assert any("pipeline, 2 of 3: rm" in row for row in screen.rows())


async def test_keys_of_a_pipeline_act_on_what_its_steps_have_made(train_in_app: Any, chat_workspace: Workspace) -> None:
    runs = chat_workspace.runs
    policy = ScriptedRun(runs / "tales-ppo", stage="ppo")
    policy.start(alive=False)
    policy.ready()
    policy.ppo_steps(1, 100)
    policy.save(100)
    policy.finish()
    compared = ScriptedRun(runs / "tales-compare")
    write_launch(compared.run, dataclasses.replace(read_launch(compared.run), kind="evaluation"))
    compared.start(alive=False)
    compared.finish()
    steps = (queued("ppo", runs, stage="ppo"), queued("compare", runs, kind="evaluation", after=("ppo",)))
    whole = pipeline(chat_workspace, *steps)
    whole.tell(RunFinished(BEGAN + 103, "completed", 2))
    async with train_in_app() as screen:
        while screen.screen.current.name != "tales":
            await screen.press("down")
        assert any("pipeline, 2 of 2 steps" in row for row in screen.rows())
        keys = screen.text("#train-keys")
        assert keys.startswith("enter open  o chat  t report  e export  d delete  n new")
        await screen.press("c")
        assert screen.toasts == ["tales is a pipeline: change its file, and start that."]
        await screen.press("t")
        await screen.until(lambda: isinstance(screen.screen, EvaluateScreen), "what it tested")
        await screen.press("f3")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen), "the way back")
        await screen.press("o")
        await screen.until(lambda: screen.screen is screen.chat.screen, "the chat")
        columns = screen.chat.screen.conversation.columns
        await screen.until(lambda: len(columns) == 2, "two columns")
        assert columns[1].adapter == "tales-ppo/step-000100"
