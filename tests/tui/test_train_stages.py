"""The form of a training by its stage: what it asks, what it offers, what it starts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.models.notes import AdapterNotes, write_notes
from core.models.reward_source import VALUE_HEAD
from core.runs.rundir import RunDirectory
from core.runs.state import state_of
from core.workspace import Workspace, save_state
from fake_trainer import COMMAND
from folders import make_adapter, make_model
from screen_app import ScreenApp, ShownForm
from train_app import Train, hasten
from tui.grouped_form import Group
from tui.option_texts import suggested as suggested_words
from tui.screens import planned_form
from tui.screens.choose import ChooseWord
from tui.screens.train import TrainScreen
from tui.screens.train_form import TrainForm
from tui.training_options import TEXTS, relevant

DPO = {**TEXTS.defaults(), "stage": "dpo"}
PPO = {**TEXTS.defaults(), "stage": "ppo"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A set of answers and one of pairs; an adapter, a reward model and a policy, which has a head too."""
    ws = Workspace(tmp_path / "ws")
    make_model(ws.models / "demo")
    save_state(ws, speaker={"model": "demo"})
    for name, stage in (("telecom", "sft"), ("zh-rm", "rm"), ("zh-ppo", "ppo")):
        folder = make_adapter(ws.runs / name, "demo")
        write_notes(folder, AdapterNotes(method="lora", base="demo", stage=stage))
        if stage != "sft":
            (folder / VALUE_HEAD).write_bytes(b"")
    ws.data.mkdir()
    (ws.data / "intro.json").write_text(json.dumps([{"instruction": "q", "output": "a"}]))
    (ws.data / "pairs.json").write_text(json.dumps([{"instruction": "q", "output": ["a", "b"]}]))
    info = {"intro": {"file_name": "intro.json"}, "pairs": {"file_name": "pairs.json", "ranking": True}}
    (ws.data / "dataset_info.json").write_text(json.dumps(info))
    monkeypatch.setattr(planned_form, "_LOOK_SECONDS", 60)
    return ws


@pytest.fixture
def form(workspace: Workspace) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36)) -> AsyncIterator[ShownForm]:
        app = ScreenApp(workspace, TrainScreen)
        async with app.run_test(size=size) as pilot:
            shown = ShownForm(app, pilot)
            await shown.until(lambda: app.watcher.scanned, "the runs")
            await pilot.press("n")
            await shown.until(lambda: isinstance(app.screen, TrainForm) and shown.rows(), "the form")
            await pilot.pause()
            yield shown

    return start


def groups(screen: ShownForm) -> list[str]:
    return [group.section for group in screen.screen.query(Group) if group.display]


# --- what it asks -----------------------------------------------------------------------------------------------


async def test_the_stage_comes_first_and_decides_what_is_asked(form: Any) -> None:
    async with form() as screen:
        assert screen.rows()[:2] == ["stage", "model_name_or_path"]
        assert groups(screen)[:4] == ["Stage", "Model", "Method", "Data"]
        await screen.put("stage", "ppo")
        await screen.until(lambda: "PPO" in groups(screen), "its options")
        assert {"reward_model", "ppo_target", "ref_model"} <= set(screen.rows())
        assert "pref_beta" not in screen.rows()
        await screen.put("stage", "dpo")
        await screen.until(lambda: "pref_beta" in screen.rows(), "the options of pairs")
        assert "PPO" not in groups(screen)
        await screen.put("stage", "rm")
        await screen.until(lambda: "Preferences" not in groups(screen), "none of both")
        assert {"dataset", "learning_rate"} <= set(screen.rows())


@pytest.mark.parametrize(
    ("name", "values", "means"),
    [
        ("packing", {"stage": "sft"}, True),
        ("packing", DPO, False),
        ("simpo_gamma", DPO, False),
        ("simpo_gamma", {**DPO, "pref_loss": "simpo"}, True),
        ("ref_model", DPO, True),
        ("ref_model", {**DPO, "pref_loss": "orpo"}, False),
        ("ref_model", PPO, True),
        ("dpo_label_smoothing", {**DPO, "pref_loss": "ipo"}, False),
        ("ppo_target", PPO, True),
        ("ppo_target", {**PPO, "ppo_adaptive_kl": "false"}, False),
        ("ppo_target", DPO, False),
        ("lora_rank", {**PPO, "finetuning_type": "p_tuning"}, False),
        ("pref_beta", {"stage": "pp"}, True),
    ],
)
def test_options_mean_something_in_their_stage(name: str, values: dict[str, str], means: bool) -> None:
    assert relevant(name, values) is means


def test_what_another_stage_said_is_not_said_again() -> None:
    values = {**PPO, "stage": "dpo", "ppo_target": "3", "pref_beta": "0.3"}
    assert TEXTS.said(values) == {"stage": "dpo", "pref_beta": "0.3"}
    assert TEXTS.command_of({**PPO, "ppo_target": "3"}) == "finetui train --stage ppo --ppo_target 3"


# --- what it offers ---------------------------------------------------------------------------------------------


async def test_sets_are_offered_by_their_kind(form: Any) -> None:
    async with form() as screen:
        assert list(screen.row("dataset").words) == ["intro"]
        await screen.put("stage", "rm")
        await screen.until(lambda: list(screen.row("dataset").words) == ["pairs"], "the pairs")
        await screen.put("stage", "ppo")
        await screen.until(lambda: list(screen.row("dataset").words) == ["intro", "pairs"], "the questions")
        screen.screen.form.go_to("dataset")
        await screen.press("i")
        assert screen.row("dataset").input.value == "i"


async def test_reward_models_and_adapters_are_told_apart(form: Any) -> None:
    async with form() as screen:
        await screen.put("stage", "ppo")
        await screen.until(lambda: "reward_model" in screen.rows(), "the row")
        screen.screen.form.go_to("reward_model")
        await screen.press("enter")
        assert isinstance(screen.screen, ChooseWord)
        assert screen.screen._words == ["zh-rm"]
        await screen.press("enter")
        assert screen.values["reward_model"] == "zh-rm"
        assert list(screen.row("adapter_name_or_path").words) == ["telecom", "zh-ppo"]
        assert list(screen.row("ref_model").words) == ["telecom", "zh-ppo", "demo"]


def test_an_evaluation_is_offered_reward_models_too(workspace: Workspace) -> None:
    assert suggested_words(workspace, ["dataset"])["reward_model"] == ["zh-rm"]


# --- from a preset ----------------------------------------------------------------------------------------------


async def test_a_preset_of_a_stage_shows_its_options_and_what_is_missing(form: Any) -> None:
    async with form((80, 24)) as screen:
        await screen.press("down", "down", "down", "down", "enter")
        await screen.until(lambda: screen.values["stage"] == "ppo", "the stage")
        await screen.until(lambda: "reward_model" in screen.rows(), "the row")
        assert screen.screen.file_name() == "ppo.yaml"
        await screen.until(lambda: "scores answers" in screen.note("reward_model"), "what is missing")


# --- to a run ---------------------------------------------------------------------------------------------------


async def test_a_policy_is_started_by_the_form_and_shown_as_one(
    form: Any, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(COMMAND))
    monkeypatch.setenv("FINETUI_LOCKS", str(tmp_path / "locks"))
    hasten(monkeypatch)
    rules = tmp_path / "rules.py"
    rules.write_text("def short(asked):\n    return [0.0 for _one in asked]\n")
    async with form() as screen:
        await screen.put("stage", "ppo")
        await screen.until(lambda: "reward_model" in screen.rows(), "the row")
        await screen.put("reward_model", f"{rules}:short")
        await screen.put("adapter_name_or_path", "telecom")
        await screen.put("dataset", "intro")
        await screen.press("ctrl+r")
        await screen.until(lambda: isinstance(screen.screen, TrainScreen), "the Train screen")
        run = RunDirectory(workspace.runs / "ppo-lora-intro")
        await screen.until(lambda: state_of(run) == "finished", "its end")
        shown = Train(screen.app, screen.pilot)
        await screen.until(lambda: shown.screen.current and shown.screen.current.stage == "ppo", "the run")
        await screen.until(lambda: list(shown.curves()) == ["reward", "KL", "entropy", "length"], "its curves")
        assert "reward 3" in shown.rows()[0]
        await screen.until(lambda: "demo, as it was" in shown.text("#train-facts Static"), "the reference")
