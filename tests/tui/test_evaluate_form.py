"""The form of an evaluation: filled in, looked at, mended, saved and started, by the keyboard; and the ways to it."""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList, Static

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.config.sources import EvaluationSourceOptions, list_presets
from core.runs.rundir import RunDirectory
from core.runs.state import state_of
from core.workspace import Workspace, save_state
from fake_evaluator import COMMAND
from folders import make_adapter, make_model
from screen_app import ScreenApp, ShownForm
from scripted_reports import evaluation, predictions
from scripted_runs import ScriptedRun
from tui.evaluation_options import TEXTS, relevant
from tui.forms import OptionRow
from tui.screens import planned_form
from tui.screens.choose import ChooseWords
from tui.screens.data import DataScreen
from tui.screens.evaluate import EvaluateScreen
from tui.screens.evaluate_form import EvaluationForm
from tui.screens.train import TrainScreen


class FormApp(ScreenApp):
    """An app in which a started evaluation leads to the table."""

    async def action_mode(self, mode: str) -> None:
        self.pop_screen()
        await self.push_screen(EvaluateScreen(self.workspace))


class Form(ShownForm):
    """The form under test."""

    @property
    def values(self) -> dict[str, str]:
        """What differs from the defaults."""
        return TEXTS.said(super().values)

    async def opened(self) -> None:
        await self.until(lambda: isinstance(self.screen, EvaluationForm) and self.screen.query(OptionRow), "the form")
        await self.pilot.pause()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A model with an adapter, two test sets, and an evaluator of plain Python."""
    ws = Workspace(tmp_path / "ws")
    base = make_model(ws.models / "demo")
    make_adapter(ws.models / "tuned", str(base))
    make_adapter(ws.models / "other", str(base))
    save_state(ws, speaker={"model": "demo"})
    ws.data.mkdir()
    rows = [{"instruction": f"question {n}", "output": f"answer {n}"} for n in range(6)]
    (ws.data / "exam.json").write_text(json.dumps(rows))
    (ws.data / "quiz.json").write_text(json.dumps(rows[:2]))
    (ws.data / "dataset_info.json").write_text(
        json.dumps({name: {"file_name": f"{name}.json"} for name in ("exam", "quiz")})
    )
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(COMMAND))
    monkeypatch.setenv("FINETUI_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(planned_form, "_LOOK_SECONDS", 0.01)
    return ws


@pytest.fixture
def opened(workspace: Workspace) -> Callable[..., Any]:
    """`async with opened(DataScreen) as form`: an app with that screen."""

    @asynccontextmanager
    async def start(
        screen: type[Any] = EvaluateScreen, size: tuple[int, int] = (120, 36), key: str = "n"
    ) -> AsyncIterator[Form]:
        app = FormApp(workspace, screen)
        async with app.run_test(size=size) as pilot:
            form = Form(app, pilot)
            await form.until(lambda: app.watcher.scanned, "the runs")
            if screen is EvaluateScreen:
                await form.until(lambda: form.screen._listed_once, "the reports")
                await form.press(key)
                await form.opened()
            yield form

    return start


# --- from the first key to the run --------------------------------------------------------------------------------


async def test_filled_in_and_started_by_keyboard(opened: Any, workspace: Workspace) -> None:
    async with opened(size=(80, 24)) as form:
        assert "api_model" not in form.rows()
        await form.press("enter")  # the first preset: exact
        await form.until(lambda: "there is nothing to ask" in form.note("dataset"), "what is missing")
        await form.put("adapter_name_or_path", "tuned")
        await form.put("include_base", "true")
        await form.put("dataset", "exam,quiz")
        await form.until(lambda: "16 = 2 models × 2 sets" in form.plan, "what it will be")
        assert "exam, 6 rows\nquiz, 2 rows" in form.plan
        assert "greedy, up to 256 tokens" in form.plan
        assert "what fits the answers" in form.plan
        shown = {row.spec.name: row.input.placeholder for row in form.screen.query(OptionRow)}
        assert (shown["dataset"], shown["metrics"]) == ("not given", "not given")
        await form.press("ctrl+r")
        await form.until(lambda: isinstance(form.screen, EvaluateScreen), "the table")
        run = RunDirectory(next(iter(workspace.runs.iterdir())))
        assert run.name.startswith("eval-")
        await form.until(lambda: state_of(run) == "finished", "its end")
        values = load([*EVALUATION, EvaluationSourceOptions], file=run.config).values()
        assert values["dataset"] == ("exam", "quiz")
        assert values["include_base"] is True
        assert (values["temperature"], values["dtype"], values["max_new_tokens"]) == (0.0, "float32", 256)
        assert Path(values["adapter_name_or_path"][0]).name == "tuned"
        await form.until(lambda: len(form.screen.table.table.rows) == 4, "four reports")
        await form.until(lambda: run.path in form.screen.row.key.parents, "the highlighted one")
        assert f"{run.name} has started." in form.toasts


async def test_mistakes_stand_at_their_rows_and_start_nothing(opened: Any, workspace: Workspace) -> None:
    async with opened() as form:
        await form.put("dataset", "exm")
        await form.until(lambda: "did you mean 'exam'?" in form.note("dataset"), "the nearest name")
        await form.put("metrics", "bleu4")
        await form.until(lambda: "did you mean 'bleu-4'?" in form.note("metrics"), "the nearest metric")
        assert "2 problems" in form.plan
        await form.press("ctrl+r")
        assert form.toasts == ["2 problems stand against it."]
        await form.put("dataset", "exam")
        await form.put("metrics", "bleu-4,rouge-l")
        await form.until(lambda: "it can start" in form.plan, "the plan")
        assert "bleu-4, rouge-l" in form.plan
        assert not workspace.runs.exists()


def test_what_is_relevant() -> None:
    served, drawn = {"api_base": "http://h/v1"}, {"temperature": "0.7"}
    models = ["model_name_or_path", "adapter_name_or_path"]  # the first is filled in by the form itself
    names = ("api_base", "api_timeout", *models, "repeats", "n_shot", "metrics")
    assert [name for name in names if relevant(name, {})] == ["api_base", *models, "n_shot", "metrics"]
    assert [name for name in names if relevant(name, served)] == ["api_base", "api_timeout", "n_shot", "metrics"]
    assert relevant("repeats", drawn)
    assert not relevant("n_shot", {"task": "answers"})


async def test_several_are_marked_in_a_list(opened: Any) -> None:
    async with opened() as form:
        form.screen.form.go_to("adapter_name_or_path")
        await form.press("enter")
        assert isinstance(form.screen, ChooseWords)
        assert [str(option.prompt) for option in form.screen.query_one(OptionList).options] == [
            "[ ] other",
            "[ ] tuned",
        ]
        await form.press("space", "down", "space", "enter")
        await form.until(lambda: isinstance(form.screen, EvaluationForm), "the form")
        assert form.values["adapter_name_or_path"] == "other,tuned"
        await form.press("enter")
        await form.press(*"oth", "space", "enter")
        await form.until(lambda: isinstance(form.screen, EvaluationForm), "the form")
        assert form.values["adapter_name_or_path"] == "tuned"


async def test_the_options_are_saved_and_copied(
    opened: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []

    async def copy(_app: object, text: str, _folder: Path) -> None:
        copied.append(text)

    monkeypatch.setattr("tui.clipboard.copy", copy)
    async with opened() as form:
        await form.put("dataset", "exam")
        await form.press("ctrl+y")
        assert copied == ["finetui eval --model_name_or_path demo --dataset exam"]
        await form.press("ctrl+s")
        assert form.screen.query_one(Input).value == "eval.yaml"
        await form.press("enter")
        saved = load(EVALUATION, file=workspace.root / "eval.yaml").values()
        assert (saved["dataset"], saved["model_name_or_path"]) == (("exam",), "demo")
        await form.press("escape")
        assert not isinstance(form.screen, EvaluationForm)  # asked: what was filled in would be lost
        await form.press("y")
        await form.until(lambda: isinstance(form.screen, EvaluateScreen), "the table")


def test_texts_and_settings_are_the_same() -> None:
    values = {
        **TEXTS.defaults(),
        "dataset": "a,b",
        "temperature": "0.5",
        "stop": '["\\n"]',
        "default_system": "it's 你好",
    }
    words = shlex.split(TEXTS.command_of(values))
    assert words[:2] == ["finetui", "eval"]
    assert load(EVALUATION, arguments=words[2:]).values() == TEXTS.settings_of(values).values()
    assert TEXTS.command_of(TEXTS.defaults()) == "finetui eval"


@pytest.mark.parametrize("name", [preset.name for preset in list_presets("eval")])
def test_every_preset_is_a_form(name: str, tmp_path: Path) -> None:
    texts = TEXTS.preset_texts(name)
    path = tmp_path / "config.yaml"
    path.write_text(TEXTS.yaml_of(TEXTS.settings_of({**texts, "output_dir": "elsewhere"})))
    assert TEXTS.file_texts(path) == {**texts, "output_dir": ""}


# --- the ways to it -----------------------------------------------------------------------------------------------


async def test_from_a_training_with_its_adapter_and_its_base(opened: Any, workspace: Workspace) -> None:
    run = ScriptedRun(workspace.runs / "zh-lora", total=20)
    run.start(alive=False)
    run.ready()
    run.steps(10, 20)
    run.save(20)
    run.finish(20)
    async with opened(TrainScreen) as form:
        await form.until(lambda: form.screen.current and form.screen.current.history, "the run")
        await form.press("t")
        await form.opened()
        assert form.values == {
            "model_name_or_path": "demo",
            "adapter_name_or_path": "zh-lora/step-000020",
            "include_base": "true",
        }


async def test_from_a_set_and_on_to_what_was_started(opened: Any, workspace: Workspace) -> None:
    async with opened(DataScreen) as form:
        await form.until(lambda: form.screen.current, "the sets")
        await form.press("e")
        await form.opened()
        assert form.values == {"model_name_or_path": "demo", "dataset": form.screen._given["dataset"]}
        await form.until(lambda: "it can start" in form.plan, "the plan")
        await form.press("ctrl+r")
        await form.until(lambda: isinstance(form.screen, EvaluateScreen), "the table")
        await form.until(lambda: form.screen.row is not None, "its report")
        assert form.screen.row.name.startswith("eval-demo-")


async def test_as_an_earlier_evaluation_was(opened: Any, workspace: Workspace) -> None:
    run = evaluation(workspace.runs / "eval-old", predictions(["a"], ["a"]), dataset="quiz")
    run.run.config.write_text("model_name_or_path: demo\ndataset: [quiz]\nmax_samples: 1\noutput_dir: eval-old\n")
    async with opened(key="u") as form:
        assert form.values == {"model_name_or_path": "demo", "dataset": "quiz", "max_samples": "1"}
        assert "as eval-old" in str(form.screen.query_one("#form-title", Static).content)
