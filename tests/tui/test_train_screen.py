"""F3: runs are listed, watched, laid over one another, asked for things, and used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList, Static

from core.workspace import Workspace, load_state
from hostile import FILE_NAMES
from screen_app import ScreenApp, Shown
from scripted_runs import BEGAN, ScriptedRun
from tui import run_watcher
from tui.screens import train as train_module
from tui.screens.metrics import MetricsDialog
from tui.screens.train import TrainScreen
from tui.widgets.curve import Curve
from tui.widgets.curves_pane import CurvesPane
from tui.widgets.dialogs import Confirm
from tui.widgets.log_view import LogView
from tui.widgets.run_pages import AnswersPage, CheckpointsPage
from tui.widgets.run_rows import duration_text, row_content
from tui.widgets.status_bar import StatusBar

HOSTILE = "\x1b]0;owned\x07[bold]x[/bold]\x1b[2J"


class Train(Shown):
    """The screen under test; `chat` is the app that it stands in."""

    def __init__(self, app: Any, pilot: Any, chat: Any = None) -> None:
        super().__init__(app, pilot)
        self.chat = chat

    async def listed(self) -> None:
        """Wait for the runs."""
        await self.until(lambda: isinstance(self.screen, TrainScreen), "the Train screen")
        watcher = self.app.watcher
        await self.until(lambda: watcher.scanned and not watcher._wanted, "the runs")
        await self.until(lambda: len(self.rows()) == len(watcher.runs), "the list")
        await self.pilot.pause()

    def rows(self) -> list[str]:
        listed = self.screen.query_one("#train-runs", OptionList)
        return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]

    def text(self, selector: str) -> str:
        return "\n".join(str(shown.content) for shown in self.screen.query(selector).results(Static))

    @property
    def legend(self) -> str:
        return self.text("#curves-legend")

    def curves(self) -> dict[str, str]:
        """What each chart shows, by its metric."""
        drawn = [curve.text for curve in self.screen.query(Curve)]
        return {text.replace("▸", " ").split()[0]: text for text in drawn if text.strip()}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are looked at often."""
    monkeypatch.setattr(run_watcher, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(run_watcher, "_GLANCE_SECONDS", 0.02)
    monkeypatch.setattr(run_watcher, "_SCAN_SECONDS", 0.1)
    monkeypatch.setattr(train_module, "_DRAW_SECONDS", 0.0)


@pytest.fixture
def train(chat_workspace: Workspace) -> Callable[..., Any]:
    """`async with train() as screen`: the screen alone."""

    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36)) -> AsyncIterator[Train]:
        app = ScreenApp(chat_workspace, TrainScreen)
        async with app.run_test(size=size) as pilot:
            shown = Train(app, pilot)
            await shown.listed()
            yield shown

    return start


@pytest.fixture
def train_in_app(start_chat: Any) -> Callable[..., Any]:
    """The same in the whole app."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Train]:
        async with start_chat() as chat:
            await chat.pilot.press("f3")
            shown = Train(chat.app, chat.pilot, chat)
            await shown.listed()
            yield shown

    return start


def running(workspace: Workspace, name: str = "zh-lora", *, upto: int = 41) -> ScriptedRun:
    run = ScriptedRun(workspace.runs / name)
    run.start()
    run.ready()
    run.steps(1, upto)
    return run


def ended(workspace: Workspace, name: str, *, launched: float = BEGAN - 1000) -> ScriptedRun:
    run = ScriptedRun(workspace.runs / name, launched=launched)
    run.start(alive=False)
    run.ready()
    run.steps(1, 100)
    run.evaluate(50, 0.8, best=True)
    run.save(50, best=True)
    run.evaluate(100, 0.9)
    run.save(100)
    run.finish()
    return run


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
    queued.wait("zh-lora")
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
        await screen.pilot.pause(0.2)
        painted: list[object] = []
        screen.app._display = lambda _screen, renderable: painted.append(renderable)
        await screen.pilot.pause(0.3)
        assert painted == []


async def test_a_resumed_run_goes_on_where_it_was(train: Any, chat_workspace: Workspace) -> None:
    run = ended(chat_workspace, "old")
    async with train() as screen:
        await screen.until(lambda: screen.curves(), "the curves")
        run.start(segment=2, resumed_from="step-000050")
        run.ready()
        await screen.until(lambda: screen.screen.current.active, "that it goes on")
        await screen.until(lambda: "50/100" in screen.text("#train-head"), "the step of the checkpoint")


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


# --- actions ----------------------------------------------------------------------------------------------------


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


async def test_resuming_what_cannot_be_resumed_is_told(train: Any, chat_workspace: Workspace) -> None:
    running(chat_workspace)
    async with train() as screen:
        await screen.press("r")
        await screen.until(lambda: screen.toasts, "the reason")
        assert screen.toasts[0].startswith("the run zh-lora is still going on")


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
