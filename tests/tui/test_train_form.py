"""The form of a training: filled in, planned, mended, saved and started, by the keyboard alone."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from core.config.load import load
from core.config.sources import TrainingSourceOptions, list_presets
from core.config.training import TRAINING
from core.errors import Problem
from core.records import to_record
from core.runs.history import read_history
from core.runs.plan import DiskEstimate, DryStep, MemoryEstimate, Plan, Planning, Refused, TokenReport
from core.runs.rundir import RunDirectory
from core.runs.state import state_of
from core.workspace import Workspace, save_state
from fake_trainer import COMMAND
from folders import make_model
from screen_app import ScreenApp, ShownForm
from tui import plan_child
from tui.forms import OptionRow
from tui.grouped_form import GroupedForm
from tui.screens import planned_form
from tui.screens.choose import ChooseWord
from tui.screens.train import TrainScreen
from tui.screens.train_form import TrainForm
from tui.training_options import TEXTS, relevant
from tui.widgets.dialogs import Confirm

PLAN = Plan(
    method="lora",
    model="demo",
    report=TokenReport(rows=12, tokens=480, trained_tokens=96, longest=61),
    rows=12,
    eval_rows=0,
    rows_per_update=4,
    micro_batches_per_epoch=3,
    updates_per_epoch=3,
    total_steps=9,
    epochs=3.0,
    packs=0,
    checkpoints=1,
    points=9,
    evaluations=0,
    parameters=1_000_000,
    trainable=10_000,
    memory=MemoryEstimate(
        runtime=300_000_000,
        weights=4_000_000,
        gradients=40_000,
        optimizer=80_000,
        activations=9_000_000,
        checkpointed_activations=3_000_000,
        logits=1_000_000,
        available=8_000_000_000,
        device="cpu",
    ),
    gradient_checkpointing=False,
    disk=DiskEstimate(50_000, 100_000, 9_000_000_000),
    warnings=(Problem("num_train_epochs", "12 rows are seen 3 times each"),),
)
DRY = DryStep(seconds=0.5, tokens=244, peak_memory=500_000_000, estimated_seconds=75.0, trainable=10_000, micro_batch=4)


class Form(ShownForm):
    """The form under test."""

    @property
    def at(self) -> str:
        """The option that the keyboard is in."""
        parent = self.app.focused.parent if self.app.focused else None
        return parent.spec.name if isinstance(parent, OptionRow) else ""

    async def go(self, name: str) -> None:
        """Walk to a row, round the form if need be."""
        for _row in range(120):
            if self.at == name:
                return
            await self.pilot.press("down" if self.at else "tab")
        raise AssertionError(f"no way to {name} from {self.at}")

    async def write(self, name: str, text: str) -> None:
        await self.go(name)
        await self.pilot.press("ctrl+u", *text)
        await self.pilot.pause()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A model, a data set, a trainer of plain Python, and a planner that knows its answer."""
    ws = Workspace(tmp_path / "ws")
    make_model(ws.models / "demo")
    save_state(ws, speaker={"model": "demo"})  # who answers in the chat is who is trained
    ws.data.mkdir()
    rows = [{"instruction": f"question {n}", "output": f"answer {n}"} for n in range(12)]
    (ws.data / "intro.json").write_text(json.dumps(rows))
    (ws.data / "dataset_info.json").write_text(json.dumps({"intro": {"file_name": "intro.json"}}))
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(COMMAND))
    monkeypatch.setenv("FINETUI_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(planned_form, "_LOOK_SECONDS", 0.01)
    answers(monkeypatch, tmp_path, Planning(0.5), PLAN)
    return ws


def answers(monkeypatch: pytest.MonkeyPatch, folder: Path, *records: object, code: str = "") -> None:
    """Have the planner answer this, and then do what the code says."""
    told = folder / "plan.jsonl"
    told.write_text("".join(json.dumps(to_record(record)) + "\n" for record in records))
    script = folder / "planner.py"
    script.write_text(f"import os, sys, time\nprint(open({str(told)!r}).read(), flush=True)\n{code}\n")
    monkeypatch.setattr(plan_child, "COMMAND", (sys.executable, "-S", str(script)))


@pytest.fixture
def form(workspace: Workspace) -> Callable[..., Any]:
    """`async with form() as screen`: the form, opened by its key."""

    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36), key: str = "n") -> AsyncIterator[Form]:
        app = ScreenApp(workspace, TrainScreen)
        async with app.run_test(size=size) as pilot:
            shown = Form(app, pilot)
            await shown.until(lambda: app.watcher.scanned, "the runs")
            await shown.until(lambda: len(app.screen._shown) == len(app.watcher.runs), "the list")
            await pilot.press(key)
            await shown.until(lambda: isinstance(app.screen, TrainForm) and app.screen.query(OptionRow), "the form")
            await pilot.pause()
            yield shown

    return start


# --- from the first key to the run --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_filled_in_and_started_by_keyboard_alone(form: Any, workspace: Workspace, size: tuple[int, int]) -> None:
    async with form(size) as screen:
        await screen.press("enter")  # the first preset: quick_lora
        assert screen.at == "model_name_or_path"
        await screen.until(lambda: "self_introduction" in screen.plan, "that its data set is not here")
        await screen.write("lora_rank", "4")
        await screen.write("dataset", "intro")
        await screen.until(lambda: "12 to train on" in screen.plan, "the plan")
        assert "! num_train_epochs: 12 rows are seen 3 times each" in screen.plan
        assert "1 warning" in screen.plan
        await screen.press("ctrl+r")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen), "the Train screen")
        await screen.until(lambda: "lora-intro has started." in screen.toasts, "a word of it")
        run = RunDirectory(workspace.runs / "lora-intro")
        await screen.until(lambda: state_of(run) == "finished", "its end")
        await screen.until(lambda: screen.screen.current and screen.screen.current.name == "lora-intro", "the run")
        assert read_history(run).step.step == 3
        values = load(TRAINING, file=run.config).values()
        assert (values["lora_rank"], values["dataset"], values["model_name_or_path"]) == (4, ("intro",), "demo")


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 10)])
async def test_the_plan_has_its_place_at_every_size(form: Any, size: tuple[int, int]) -> None:
    async with form(size) as screen:
        wide = size[0] >= 100
        pane = screen.screen.query_one("PlanPane")
        assert pane.display == wide
        await screen.press("ctrl+g")
        assert pane.has_focus
        assert pane.display
        await screen.press("escape")
        assert pane.display == wide
        assert not pane.has_focus
        assert isinstance(screen.screen, TrainForm)


# --- rows ---------------------------------------------------------------------------------------------------------


async def test_what_is_wrong_stands_at_its_row_and_starts_nothing(form: Any, workspace: Workspace) -> None:
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.put("learning_rate", "fast")
        assert screen.note("learning_rate") == "expected a number above 0, not 'fast'"
        assert "1 problem" in screen.plan
        await screen.press("down", "down", "ctrl+r")
        assert screen.at == "learning_rate"
        assert screen.toasts == ["1 problem stands against it."]
        await screen.press("ctrl+u", *"1e-4")
        assert "The step size at its highest" in screen.note("learning_rate")
        assert not workspace.runs.exists()


async def test_a_set_that_is_not_there_is_told_at_its_row(form: Any) -> None:
    async with form() as screen:
        await screen.put("dataset", "intr")
        await screen.until(lambda: "did you mean 'intro'?" in screen.note("dataset"), "the nearest name")
        assert "dataset" in screen.plan


async def test_rows_that_mean_nothing_now_are_hidden(form: Any) -> None:
    async with form() as screen:
        await screen.write("lora_rank", "64")
        assert "pre_seq_len" not in screen.rows()
        await screen.press("up")
        await screen.press("up")
        assert screen.at == "finetuning_type"
        await screen.press("enter")
        assert isinstance(screen.screen, ChooseWord)
        await screen.press(*"p_t", "enter")
        await screen.until(lambda: "pre_seq_len" in screen.rows(), "the prefix")
        assert screen.values["finetuning_type"] == "p_tuning"
        assert "lora_rank" not in screen.rows()
        kept = TEXTS.said(screen.screen.query_one(GroupedForm).values)
        assert kept == {"finetuning_type": "p_tuning", "model_name_or_path": "demo"}


async def test_seldom_options_are_folded_until_they_are_wanted(form: Any) -> None:
    async with form() as screen:
        few = screen.rows()
        assert len(few) < 25
        assert "weight_decay" not in few
        await screen.press("ctrl+l")
        every = screen.rows()
        assert set(every) == {name for name in TEXTS.defaults() if relevant(name, TEXTS.defaults())}
        await screen.put("weight_decay", "0.1")
        await screen.press("ctrl+l")
        await screen.until(lambda: len(screen.rows()) == len(few) + 1, "folded again")
        assert "weight_decay" in screen.rows()  # it says something


async def test_what_is_wrong_is_never_folded(form: Any) -> None:
    async with form() as screen:
        await screen.put("val_size", "0.1")
        await screen.press("ctrl+l")
        await screen.put("eval_dataset", "intro")
        await screen.press("ctrl+l")
        assert screen.note("val_size").startswith("stands beside eval_dataset")


# --- the plan -----------------------------------------------------------------------------------------------------


async def test_a_plan_that_nobody_wants_any_more_is_ended(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"
    answers(
        monkeypatch,
        tmp_path,
        Planning(0.3),
        code=f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(60)",
    )
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.until(lambda: "rows become tokens 30%" in screen.plan, "a plan under way")
        first = int(pids.read_text().split()[0])
        await screen.put("lora_rank", "5")
        await screen.until(lambda: not _alive(first), "its end")
        await screen.until(lambda: len(pids.read_text().split()) > 1, "the next plan")
        await screen.press("escape", "y")
        await screen.until(lambda: not any(map(_alive, map(int, pids.read_text().split()))), "the end of all")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_rows_that_stand_against_it_are_told_by_the_plan(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, tmp_path, Refused((Problem("data/intro.json:3", "no answer", "write one"),), 7))
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.until(lambda: "7 problems" in screen.plan, "the problems")
        assert "data/intro.json:3\nno answer\nwrite one\n\nand 6 more" in screen.plan


async def test_a_planner_that_dies_is_told(form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, tmp_path, code="sys.exit('no such thing')")
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.until(lambda: "the engine ended without a plan" in screen.plan, "the reason")
        assert "no such thing" in screen.plan


async def test_the_longest_batch_is_tried_when_asked(
    form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, tmp_path, PLAN, DRY)
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.press("ctrl+t")
        await screen.until(lambda: "0.50 s for 244 tokens" in screen.plan, "what it came to")


# --- files and commands -------------------------------------------------------------------------------------------


async def test_a_run_is_duplicated_with_changes(form: Any, workspace: Workspace) -> None:
    texts = {**TEXTS.defaults(), "dataset": "intro", "lora_rank": "3", "weight_decay": "0.25", "output_dir": "first"}
    run = workspace.runs / "first"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(TEXTS.yaml_of(TEXTS.settings_of(texts)))
    (run / "launch.json").write_text("{}")
    async with form(key="c") as screen:
        assert [screen.values[name] for name in ("dataset", "lora_rank", "output_dir")] == ["intro", "3", ""]
        assert "weight_decay" in screen.rows()
        assert "as first" in str(screen.screen.query_one("#form-title", Static).content)
        await screen.press("escape")  # nothing was changed: no question
        assert isinstance(screen.screen, TrainScreen)


async def test_saved_as_yaml_it_says_the_same(form: Any, workspace: Workspace) -> None:
    async with form() as screen:
        await screen.put("dataset", "intro")
        await screen.press("ctrl+s")
        screen.screen.query_one(Input).value = "mine.yaml"
        await screen.press("enter")
        path = workspace.root / "mine.yaml"
        await screen.until(path.exists, "the file")
        assert (
            load(TRAINING, file=path).values()
            == TEXTS.settings_of({"dataset": "intro", "model_name_or_path": "demo"}).values()
        )
        path.write_text("kept")
        await screen.press("ctrl+s")
        screen.screen.query_one(Input).value = "mine.yaml"
        await screen.press("enter")
        assert isinstance(screen.screen, Confirm)
        await screen.press("n")
        assert path.read_text() == "kept"


async def test_what_was_filled_in_is_not_lost_by_one_key(form: Any) -> None:
    async with form() as screen:
        await screen.write("lora_rank", "9")
        await screen.press("escape")
        assert isinstance(screen.screen, Confirm)
        await screen.press("n")
        assert screen.values["lora_rank"] == "9"
        await screen.press("escape", "y")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen), "the Train screen")


def test_the_command_trains_the_same() -> None:
    values = {**TEXTS.defaults(), "dataset": "a,b", "lora_rank": "4", "default_system": "it's 你好", "shuffle": "false"}
    values["probe_prompt"] = '["one, two", "[three"]'
    command = TEXTS.command_of(values)
    assert command.startswith("finetui train ")
    words = shlex.split(command)[2:]
    assert load(TRAINING, arguments=words).values() == TEXTS.settings_of(values).values()
    assert TEXTS.command_of(TEXTS.defaults()) == "finetui train"


@pytest.mark.parametrize("name", [preset.name for preset in list_presets("train")])
def test_every_preset_fills_the_form(name: str, tmp_path: Path) -> None:
    texts = TEXTS.preset_texts(name)
    values = load([*TRAINING, TrainingSourceOptions], values={"preset": name})
    assert {key: value for key, value in values.values().items() if key in texts} == TEXTS.settings_of(texts).values()
    path = tmp_path / "config.yaml"
    path.write_text(TEXTS.yaml_of(TEXTS.settings_of({**texts, "output_dir": "elsewhere"})))
    assert TEXTS.file_texts(path) == {**texts, "output_dir": ""}
