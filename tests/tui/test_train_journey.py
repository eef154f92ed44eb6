"""From the first key to the running training and away again, at the places where a user once got stuck."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from core.errors import Problem
from core.records import to_record
from core.runs.history import read_history
from core.runs.plan import Refused
from core.runs.summary import summarise
from core.workspace import Workspace
from folders import make_model
from screen_app import ScreenApp, Shown
from scripted_runs import ScriptedRun
from tui import plan_child
from tui.charts.plot import View, _step_row
from tui.forms import OptionRow
from tui.run_line import runs_text
from tui.run_watcher import Watched
from tui.screens import planned_form
from tui.screens.choose import ChooseWord
from tui.screens.data import DataScreen
from tui.screens.train import TrainScreen
from tui.screens.train_form import TrainForm
from tui.widgets.plan_pane import PlanPane
from tui.widgets.preset_list import PresetList
from tui.widgets.run_rows import progress_line
from tui.widgets.status_bar import StatusBar


async def until(pilot: Any, true: Any, what: str) -> None:
    await Shown(pilot.app, pilot).until(true, what)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    ws = Workspace(tmp_path)
    make_model(ws.models / "demo")
    ws.data.mkdir()
    (ws.data / "intro.json").write_text(json.dumps([{"instruction": "q", "output": "a"}]))
    (ws.data / "dataset_info.json").write_text(json.dumps({"intro": {"file_name": "intro.json"}}))
    monkeypatch.setattr(planned_form, "_LOOK_SECONDS", 0.01)
    return ws


def ended(folder: Path) -> None:
    run = ScriptedRun(folder)
    run.start()
    run.ready()
    run.finish()


@asynccontextmanager
async def opened(workspace: Workspace, size: tuple[int, int] = (120, 36)) -> AsyncIterator[tuple[ScreenApp, Any]]:
    """The form, opened by its key."""
    app = ScreenApp(workspace, TrainScreen)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.watcher.scanned, "the runs")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, TrainForm) and app.screen.query(OptionRow), "the form")
        await pilot.pause()
        yield app, pilot


def at(app: ScreenApp) -> str:
    """The option that the keyboard is in."""
    parent = app.focused.parent if app.focused else None
    return parent.spec.name if isinstance(parent, OptionRow) else ""


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
@pytest.mark.parametrize("key", ["ctrl+g", "escape"])
async def test_there_is_a_way_back_from_the_plan(workspace: Workspace, key: str, size: tuple[int, int]) -> None:
    async with opened(workspace, size) as (app, pilot):
        await pilot.press("enter", "down", "down")
        before = at(app)
        assert before not in ("", "model_name_or_path")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: isinstance(app.focused, PlanPane), "the plan")
        await pilot.press(key)
        await until(pilot, lambda: at(app) == before, "the row that one came from")
        await pilot.press("ctrl+u", "9")
        row = next(row for row in app.screen.query(OptionRow) if row.spec.name == before)
        assert row.input.value == "9"


async def test_any_option_is_found_by_its_name(workspace: Workspace) -> None:
    async with opened(workspace) as (app, pilot):
        await pilot.press("ctrl+f")
        await until(pilot, lambda: isinstance(app.screen, ChooseWord), "the question")
        await pilot.press(*"max_st", "enter")
        await until(pilot, lambda: at(app) == "max_steps", "max_steps")
        note = next(row for row in app.screen.query(OptionRow) if row.spec.name == "max_steps").query_one(
            ".option-note"
        )
        rows = app.screen.query_one("#form-rows")
        await until(pilot, lambda: note.region.bottom <= rows.region.bottom, "its note in view")


async def test_what_stood_against_it_is_marked_as_being_looked_at_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(workspace) as (app, pilot):
        text = app.screen.query_one("#plan-text", Static)
        assert "there is nothing to train on" in str(text.content)
        monkeypatch.setattr(planned_form, "_LOOK_SECONDS", 60)
        for _row in range(40):
            if at(app) == "dataset":
                break
            await pilot.press("down")
        await pilot.press(*"intro")
        await until(pilot, lambda: str(app.screen.query_one("#plan-title", Static).content).endswith("…"), "the mark")
        assert "there is nothing to train on" in str(text.content)  # until the new plan is there


async def test_a_preset_tells_all_of_itself(workspace: Workspace) -> None:
    async with opened(workspace, (80, 24)) as (app, pilot):
        about = app.screen.query_one(PresetList).query_one(".preset-about", Static)
        first = str(about.content)
        assert first.endswith(".")
        assert about.display
        await pilot.press("down")
        assert str(about.content) != first
        await pilot.press("enter")
        await until(pilot, lambda: at(app) == "model_name_or_path", "the first row")
        assert not about.display


async def test_leaving_while_the_plan_comes_breaks_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.dumps(to_record(Refused((Problem("", "no"),))))
    script = tmp_path / "planner.py"
    script.write_text(f"import time\nwhile True: print({told!r}, flush=True); time.sleep(0.01)\n")
    monkeypatch.setattr(plan_child, "COMMAND", (sys.executable, "-S", str(script)))
    async with opened(workspace) as (app, pilot):
        form = app.screen
        assert isinstance(form, TrainForm)
        form.form.tell({**form.form.values, "model_name_or_path": "demo", "dataset": "intro"})
        form._consider()
        title = form.query_one("#plan-title", Static)
        await until(pilot, lambda: "1 problem" in str(title.content), "a plan that goes on being told")
        form.dismiss(None)
        await until(pilot, lambda: isinstance(app.screen, TrainScreen), "the Train screen")
        await pilot.pause(0.1)


async def test_the_form_has_the_line_of_every_screen(workspace: Workspace) -> None:
    async with opened(workspace) as (app, pilot):
        app.screen_stack[-2].query_one(StatusBar).tell(runs="▸ other 45%")
        await pilot.pause()
        assert app.screen.query_one(StatusBar).status.runs == "▸ other 45%"


async def test_a_run_that_was_just_started_is_the_one_that_is_shown(workspace: Workspace) -> None:
    ended(workspace.runs / "old")
    app = ScreenApp(workspace, TrainScreen)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.current, "the old run")
        new = workspace.runs / "new"
        screen._started(new)
        ended(new)
        app.watcher.look_again()
        await until(pilot, lambda: len(screen._shown) == 2, "both runs")
        await until(pilot, lambda: screen.current and screen.current.name == "new", "the new run")
        screen.go_to_run(workspace.runs / "old")
        await until(pilot, lambda: screen.current and screen.current.name == "old", "the old run")


async def test_a_set_is_trained_on_from_its_list_whichever_preset_is_chosen(workspace: Workspace) -> None:
    app = ScreenApp(workspace, DataScreen)
    async with app.run_test(size=(120, 36)) as pilot:
        data = app.screen
        assert isinstance(data, DataScreen)
        await until(pilot, lambda: data.opened, "the set")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TrainForm) and app.screen.query(OptionRow), "the form")
        form = app.screen
        assert isinstance(form, TrainForm)
        assert form.form.values["dataset"] == "intro"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: form.form.values["lora_rank"] == "16", "the preset's rank")
        assert form.form.values["dataset"] == "intro"


async def test_what_is_finished_does_not_go_on_in_vain(workspace: Workspace) -> None:
    ended(workspace.runs / "old")
    app = ScreenApp(workspace, TrainScreen)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.current, "the run")
        assert "r resume" not in str(screen.query_one("#train-keys", Static).content)
        await pilot.press("r")
        await until(pilot, lambda: app._notifications, "a word")
        assert "old has done all its steps" in next(iter(app._notifications)).message


# --- what is told of a run ----------------------------------------------------------------------------------------


def watched(run: ScriptedRun, name: str) -> Watched:
    return Watched(run.run, name, summarise(run.run), read_history(run.run), "running")


def test_what_is_left_is_told_before_a_long_name(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", total=4)
    run.start()
    run.ready()
    run.step(1, 2.0)
    told = str(progress_line(watched(run, "lora-self_introduction-2"), 53))
    assert told.endswith("step 1/4 · 3 s left")
    assert told.startswith("▸ lora-s")
    assert len(told) <= 53


@pytest.mark.parametrize(
    ("name", "shown"), [("zh-lora", "zh-lora"), ("a" * 40, "a" * 19 + "…"), ("客" * 20, "客" * 9 + "…")]
)
def test_a_long_name_is_seen_to_be_cut_in_the_line_at_the_bottom(tmp_path: Path, name: str, shown: str) -> None:
    run = ScriptedRun(tmp_path / "run")
    run.start()
    assert runs_text([watched(run, name)]) == f"▸ {shown}"


def test_there_is_no_half_step() -> None:
    text = "".join(_step_row(View(first=0, last=1), 60, 50).characters)
    assert text.split() == ["0", "1"]
