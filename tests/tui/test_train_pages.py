"""F3: the pages of a run: curves over one another, log, answers, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from core.workspace import Workspace, load_state
from scripted_runs import BEGAN
from train_app import HOSTILE, ended, hasten, running
from tui.screens.metrics import MetricsDialog
from tui.widgets.answers_page import AnswersPage
from tui.widgets.checkpoints_page import CheckpointsPage
from tui.widgets.curves_pane import CurvesPane
from tui.widgets.dialogs import Confirm
from tui.widgets.log_view import LogView


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


# --- the curves -------------------------------------------------------------------------------------------------


async def test_runs_are_laid_over_one_another(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "one")
    ended(chat_workspace, "two", launched=BEGAN)
    async with train() as screen:
        await screen.press("space", "down", "space")
        await screen.until(lambda: "A two · B one" in screen.legend, "both in the legend")
        loss = screen.curves()["loss"]
        assert "A 0." in loss
        assert "B 0." in loss
        assert [row.split()[0] for row in screen.rows()] == ["A", "B"]
        await screen.press("space", "up", "space")
        await screen.until(lambda: "A" not in screen.curves()["loss"], "one alone again")


async def test_the_keys_of_a_dashboard(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "one")
    async with train() as screen:
        await screen.press("enter")
        assert screen.screen.query_one(CurvesPane).has_focus
        assert screen.legend.startswith("smoothed")
        assert "~" in screen.curves()["loss"]
        await screen.press("s", "l")
        assert screen.legend.startswith("log y")
        assert "~" not in screen.curves()["loss"]
        await screen.press("left", "left")
        assert screen.legend.startswith("step 81")
        assert screen.curves()["loss"].split()[1] == "0.3960"[:5]
        await screen.press("plus", "plus")
        assert "steps 68–" in screen.legend
        await screen.press("shift+left")
        assert "steps 62–" in screen.legend
        await screen.press("0")
        assert "step" not in screen.legend
        await screen.press("down", "f")
        assert list(screen.curves()) == ["eval_loss"]
        assert load_state(chat_workspace)["curves"] == {"smooth": False, "log": True, "metrics": []}


async def test_metrics_are_chosen_and_remembered(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "one")
    async with train() as screen:
        await screen.press("m")
        assert isinstance(screen.screen, MetricsDialog)
        await screen.press("space", "end", "space", "enter")
        assert list(screen.curves()) == ["loss", "rows_per_second"]
        assert "5 more: m" in screen.legend
    async with train() as screen:
        await screen.until(lambda: list(screen.curves()) == ["loss", "rows_per_second"], "the same curves again")


async def test_curves_that_have_no_room_are_counted(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "one")
    async with train((80, 14)) as screen:
        await screen.press("enter")
        await screen.until(lambda: list(screen.curves()) == ["loss"], "one curve")
        assert "more: m" in screen.legend
        await screen.press("down")
        assert list(screen.curves()) == ["eval_loss"]


# --- the other pages --------------------------------------------------------------------------------------------


async def test_the_log_is_followed_and_searched(train: Any, chat_workspace: Workspace) -> None:
    run = running(chat_workspace)
    run.log("".join(f"line {n}\n" for n in range(200)) + "0%|  |\r50%|█ |\r100%|██|\nRuntimeError: boom\n" + HOSTILE)
    async with train() as screen:
        await screen.press("enter", "2")
        log = screen.screen.query_one(LogView)
        await screen.until(lambda: log.lines, "the log")
        assert log.lines[-3:] == ["100%|██|", "RuntimeError: boom", "␛]0;owned␇[bold]x[/bold]"]
        await screen.until(lambda: log.scroll_offset.y == log.max_scroll_y, "the end")
        run.log("\nlast words\n")
        run.step(60, 0.5)
        await screen.until(lambda: log.lines[-1] == "last words", "what came")
        assert "\x1b" not in "".join(log.render_line(y).text for y in range(30))
        await screen.press("slash", *"line 7")
        assert screen.text("#log-found") == "11 lines · up, down"
        assert log._current == 79
        await screen.press("up")
        assert log._current == 78
        await screen.press("escape")
        assert log.has_focus


async def test_answers_stand_step_by_step_and_are_inert(train: Any, chat_workspace: Workspace) -> None:
    run = running(chat_workspace)
    for step, answer in ((0, "I am a model."), (20, HOSTILE), (40, HOSTILE)):
        run.answer(step, "Who are you?", answer)
    async with train() as screen:
        await screen.press("enter", "3")
        shown = str(screen.screen.query_one(AnswersPage).query_one(Static).content)
        assert shown.splitlines() == [
            "Who are you?",
            "     40  as before",
            "     20  ␛]0;owned␇[bold]x[/bold]␛[2J",
            "      0  I am a model.",
        ]


async def test_where_there_is_no_checkpoint_the_page_says_what_can_be_done(
    train: Any, chat_workspace: Workspace
) -> None:
    run = running(chat_workspace)
    async with train() as screen:
        await screen.press("4")
        page = screen.screen.query_one(CheckpointsPage)
        await screen.until(lambda: page.option_count, "the page")
        assert page.get_option_at_index(0).prompt.plain == "No checkpoint yet: w saves one now."
        run.finish(40, stopped=True)
        await screen.until(
            lambda: page.get_option_at_index(0).prompt.plain.startswith("No checkpoint: the run ended before"),
            "the end",
        )


async def test_checkpoints_are_told_and_deleted_after_a_question(train: Any, chat_workspace: Workspace) -> None:
    run = ended(chat_workspace, "one")
    async with train() as screen:
        await screen.press("enter", "4")
        page = screen.screen.query_one(CheckpointsPage)
        prompts = [str(page.get_option_at_index(i).prompt) for i in range(page.option_count)]
        assert [prompt.split()[0] for prompt in prompts] == ["step-000100", "step-000050"]
        assert "best" in prompts[1]
        assert "eval loss 0.8" in prompts[1]
        await screen.press("down", "d")
        assert isinstance(screen.screen, Confirm)
        await screen.press("n")
        assert len(run.run.saved_checkpoints()) == 2
        await screen.press("d", "y")
        await screen.until(lambda: len(run.run.saved_checkpoints()) == 1, "one checkpoint less")
        await screen.until(lambda: page.option_count == 1, "the list")


def test_a_log_that_was_cut_short_is_read_anew(tmp_path: Path) -> None:
    from tui.widgets.log_view import LogTail

    path = tmp_path / "output.log"
    path.write_bytes("first\nhalf 通".encode()[:-1])
    tail = LogTail(path)
    assert tail.read_on()
    assert tail.lines == ["first", "half �"]
    path.write_bytes("first\nhalf 通义\n".encode())
    assert tail.read_on()
    assert tail.lines == ["first", "half 通义"]
    assert not tail.read_on()
    path.write_text("new\n")
    tail.read_on()
    assert tail.lines == ["new"]
