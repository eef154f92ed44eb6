"""F3: runs are listed and watched; what goes on, and what goes wrong, is told."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from textual.content import Content
from textual.geometry import Region
from textual.widgets import Input

from core.workspace import Workspace
from hostile import FILE_NAMES
from scripted_runs import BEGAN, ScriptedRun
from train_app import HOSTILE, ended, hasten, running
from tui import run_watcher
from tui.screens.train import TrainScreen
from tui.widgets.dialogs import Confirm
from tui.widgets.live_options import LiveOptions
from tui.widgets.run_rows import duration_text, row_content
from tui.widgets.status_bar import StatusBar


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


# --- the list ---------------------------------------------------------------------------------------------------


async def test_runs_with_their_states_those_that_go_on_first(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old", launched=BEGAN - 5000)
    failed = ScriptedRun(chat_workspace.runs / "broken", launched=BEGAN + 10)
    failed.start()
    failed.fail("killed by signal 9", "most likely out of memory")
    lost = ScriptedRun(chat_workspace.runs / "gone", launched=BEGAN - 9000)
    lost.start(alive=False)
    running(chat_workspace)
    queued = ScriptedRun(chat_workspace.runs / "next", launched=BEGAN - 10)
    queued.start()
    queued.wait(str(chat_workspace.runs / "zh-lora"))
    async with train() as screen:
        first, *others = screen.rows()
        assert [row.split("\n")[0].split()[:2] for row in screen.rows()] == [
            ["▸", "zh-lora"],
            ["⋯", "next"],
            ["✗", "broken"],
            ["✓", "old"],
            ["?", "gone"],
        ]
        assert "41%" in first
        assert "█" in first.split("\n")[1]
        assert "waits for zh-lora" in others[0]
        assert "killed by signal 9" in others[1]
        assert "2 running" in screen.text("#train-title")
        await screen.press("down", "down")
        facts = screen.text("#train-facts Static")
        assert facts.startswith("✗ failed\nkilled by signal 9\nmost likely out of memory")


async def test_without_a_run_it_says_how_to_get_one(train: Any) -> None:
    async with train() as screen:
        assert "n starts one" in screen.text("#train-none")
        await screen.press("x", "r", "o", "d", "space", "1", "enter", "m", "l", "plus", "slash", "escape")


async def test_the_first_run_has_the_keyboard(train: Any, chat_workspace: Workspace) -> None:
    async with train() as screen:
        await screen.press("n")
        await screen.press("escape")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen), "the way back from the form")
        running(chat_workspace)
        await screen.until(lambda: screen.rows(), "the run")
        await screen.press("x")
        assert isinstance(screen.screen, Confirm)
        await screen.press("n", "l")
        assert "log y" in screen.legend


@pytest.mark.parametrize("width", [30, 20, 12])
def test_rows_are_as_wide_as_asked(chat_workspace: Workspace, width: int) -> None:
    name = "通义千问" * 12
    run = ended(chat_workspace, name)
    summary = run_watcher.summarise(run.run)
    watched = run_watcher.Watched(run.run, name, summary, run_watcher.History(run.run), summary.state)
    assert watched.history is not None
    watched.history.update()
    lines = row_content(watched, "A", width).split("\n")
    assert [line.cell_length for line in lines] == [width, width]


async def test_the_filter_narrows(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "telecom")
    ended(chat_workspace, "intro")
    async with train() as screen:
        await screen.press("slash", *"tele")
        assert len(screen.rows()) == 1
        await screen.press("enter")
        assert screen.screen.current.name == "telecom"
        await screen.press("escape")
        assert len(screen.rows()) == 2


def test_durations() -> None:
    told = [duration_text(seconds) for seconds in (0, 61, 720, 11_100, 200_000)]
    assert told == ["0 s", "61 s", "12 min", "3 h 05", "2 d 7 h"]


# --- live -------------------------------------------------------------------------------------------------------


async def test_a_run_is_seen_going_on_and_ending(train_in_app: Any, chat_workspace: Workspace) -> None:
    async with train_in_app() as screen:
        rung: list[bool] = []
        screen.app.bell = lambda: rung.append(True)
        run = running(chat_workspace)
        await screen.until(lambda: screen.curves(), "the curves of a run that came meanwhile")
        assert "step 41/100" in screen.text("#train-head")
        assert "59 s left" in screen.text("#train-head")
        assert "1 running" in screen.text("#train-title")
        assert list(screen.curves()) == ["loss", "grad_norm", "learning_rate", "tokens_per_second"]
        run.step(50, 0.25)
        await screen.until(lambda: screen.curves()["loss"].split()[1] == "0.25", "the new loss")
        assert "0.25" in screen.text("#train-facts Static")
        bars = [screen.chat.screen.query_one(StatusBar), screen.screen.query_one(StatusBar)]
        await screen.until(lambda: all("zh-lora 50%" in bar.status.runs for bar in bars), "the line at the bottom")
        assert rung == []
        run.step(100, 0.1)
        run.finish()
        await screen.until(lambda: screen.toasts, "the end")
        assert screen.toasts == ["zh-lora is finished 100 steps, mean loss 0.5"]
        assert rung == [True]
        await screen.until(lambda: bars[1].status.runs == "", "no run at the bottom")
        await screen.until(lambda: "✓ zh-lora" in screen.rows()[0], "its mark")
        assert "running" not in screen.text("#train-title")


async def test_a_run_that_began_and_ended_between_two_looks_has_its_curve(
    train: Any, chat_workspace: Workspace
) -> None:
    run = ScriptedRun(chat_workspace.runs / "quick")  # its folder stands, its supervisor has not said a word
    async with train() as screen:
        watched = screen.app.watcher.runs[run.run.path]
        await screen.until(lambda: watched.history is not None and not watched.active, "the look at nothing")
        run.start()
        run.ready()
        run.step(1, 2.0)
        run.step(2, 1.0)
        run.finish()
        await screen.until(lambda: "loss" in screen.curves(), "its curve")


async def test_what_goes_wrong_is_told_wherever_one_is(train_in_app: Any, chat_workspace: Workspace) -> None:
    worse, failing, stopping = (running(chat_workspace, name) for name in ("worse", "failing", "stopping"))
    async with train_in_app() as screen:
        await screen.press("f2")
        assert screen.toasts == []
        worse.step(45, 30.0)
        await screen.until(lambda: screen.toasts == ["worse diverges loss 30 at step 45"], "a toast")
        worse.step(46, 40.0)  # is told once
        failing.fail("no memory", "a smaller batch")
        await screen.until(lambda: screen.toasts[1:] == ["failing failed no memory. a smaller batch"], "another")
        stopping.finish(41, stopped=True)
        await screen.until(lambda: screen.toasts[2:] == ["stopping has stopped at step 41"], "the third")


async def test_an_idle_screen_paints_nothing(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old")
    async with train() as screen:
        await screen.until(lambda: screen.curves(), "the curves")
        await screen.rests()


async def test_a_resumed_run_goes_on_where_it_was(train: Any, chat_workspace: Workspace) -> None:
    run = ended(chat_workspace, "old")
    async with train() as screen:
        await screen.until(lambda: screen.curves(), "the curves")
        run.start(segment=2, resumed_from="step-000050")
        run.ready()
        await screen.until(lambda: screen.screen.current.active, "that it goes on")
        await screen.until(lambda: "50/100" in screen.text("#train-head"), "the step of the checkpoint")


# --- sizes and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 5)])
async def test_a_narrow_screen_shows_one_pane_at_a_time(
    train: Any, chat_workspace: Workspace, size: tuple[int, int]
) -> None:
    ended(chat_workspace, "old")
    async with train(size) as screen:
        panes = {name: screen.screen.query_one(f"#train-{name}") for name in ("list", "run", "facts")}
        assert [name for name, pane in panes.items() if pane.display] == ["list"]
        await screen.press("enter")
        assert [name for name, pane in panes.items() if pane.display] == ["run"]
        for key in "12345":
            await screen.press(key)
        assert screen.screen.page == "facts"
        assert screen.screen.query_one("#facts FactsPane").has_focus
        await screen.press("escape")
        assert screen.screen.query_one("#train-runs").has_focus
        await screen.press("escape")
        assert not isinstance(screen.screen, TrainScreen)


async def test_three_panes_at_the_design_size(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old")
    async with train() as screen:
        regions = [screen.screen.query_one(f"#train-{name}").region for name in ("list", "run", "facts")]
        assert [region.width for region in regions] == [30, 56, 34]
        assert screen.screen.query_one(StatusBar).region.y == 35
        await screen.press("5")
        assert screen.screen.query_one("#train-facts").has_focus
        await screen.press("escape")
        assert screen.screen.query_one("#train-runs").has_focus


async def test_hostile_names_and_texts_are_inert(train: Any, chat_workspace: Workspace) -> None:
    for name in [*FILE_NAMES.values()][:6]:
        run = ScriptedRun(chat_workspace.runs / f"r{name}", model=HOSTILE)
        run.start()
        run.warn(HOSTILE, HOSTILE)
        run.fail(HOSTILE, HOSTILE)
    async with train() as screen:
        for _row in screen.rows():
            assert "\x1b" not in "".join(screen.rows()) + screen.text("#train-facts Static")
            await screen.press("down")


async def test_the_screen_comes_back_to_the_run_that_was_looked_at(
    train_in_app: Any, chat_workspace: Workspace
) -> None:
    ended(chat_workspace, "one")
    ended(chat_workspace, "two")
    async with train_in_app() as screen:
        await screen.press("down")
        name = screen.screen.current.name
        await screen.press("f2", "f3")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen) and screen.rows(), "the list")
        await screen.until(lambda: screen.screen.current.name == name, "the same run")
        assert screen.screen.query_one("#train-filter", Input).value == ""


# --- what a change costs ----------------------------------------------------------------------------------------


async def test_what_the_chat_below_is_told_paints_one_line_and_not_the_screen(
    train_in_app: Any, chat_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(chat_workspace)
    async with train_in_app() as train:
        painted = Mock(side_effect=train.screen._compositor.render_full_update)
        monkeypatch.setattr(train.screen._compositor, "render_full_update", painted)
        train.app.chat.tell_status(memory="17 MB")
        await train.until(lambda: "17 MB" in train.seen().splitlines()[-1], "the line at the bottom")
        await train.pilot.pause()
        assert painted.call_count == 0


async def test_a_run_that_goes_on_paints_its_own_rows_of_the_list(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old", launched=BEGAN - 5000)
    running(chat_workspace)
    async with train() as screen:
        listed = screen.screen.query_one(LiveOptions)
        listed.highlighted = 1
        await screen.pilot.pause()
        listed._exchange_repaint_regions()
        listed.renew(1, Content("another\nrun"))
        assert set(listed._exchange_repaint_regions()) == {Region(0, 2, listed.size.width, 2)}
        assert listed.render_line(2).text.rstrip() == "another"
