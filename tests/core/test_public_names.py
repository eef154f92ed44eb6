"""What `from core import …` gives: the names that are promised, each from its home, none before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import core
import fake_evaluator
import fake_trainer
from core.errors import ConfigError, RunError
from core.runs.events import RunFinished
from core.workspace import Workspace
from folders import make_adapter, make_model


def test_every_promised_name_is_there() -> None:
    for name in core.__all__:
        assert getattr(core, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'core' has no attribute 'launched'"):
        _ = core.launched


def test_importing_core_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import core; print(sorted(set(sys.modules) - before))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(core.__file__).parents[1])
    assert "core.launch" not in done.stdout
    assert "pydantic" not in done.stdout


def test_a_training_is_started_and_followed_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    make_model(workspace.models / "demo")
    workspace.data.mkdir()
    (workspace.data / "rows.jsonl").write_text('{"instruction": "q", "input": "", "output": "a"}\n')
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(fake_trainer.COMMAND))
    (tmp_path / "lora.yaml").write_text("model_name_or_path: demo\ndataset: rows\nlora_rank: 4\n")
    with pytest.raises(ConfigError, match="there is nothing to train on"):
        core.train(workspace=tmp_path, model_name_or_path="demo")
    run = core.train(tmp_path / "lora.yaml", workspace=tmp_path, lora_rank=16, output_dir="mine")
    assert run.path == workspace.runs / "mine"
    events = list(core.follow(run))
    assert isinstance(events[-1], RunFinished)
    assert "lora_rank: 16  # lora_rank" in run.config.read_text()


def test_models_are_evaluated_and_compared_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    make_model(workspace.models / "demo")
    make_adapter(workspace.runs / "zh", "demo")
    workspace.data.mkdir()
    (workspace.data / "rows.jsonl").write_text('{"instruction": "q", "input": "", "output": "a"}\n')
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(fake_evaluator.COMMAND))
    with pytest.raises(ConfigError, match="there is nothing to ask"):
        core.evaluate("zh", workspace=tmp_path)
    base, tuned = core.evaluate("zh", workspace=tmp_path, dataset="rows", include_base=True, output_dir="mine")
    assert (base.name, tuned.name, len(tuned)) == ("demo · rows", "zh · rows", 4)
    assert base.report.values["exact_match"].value == 50.0
    named = core.compare("mine", workspace=tmp_path)
    assert core.compare([base, tuned]).table() == named.table()
    head, _line, exact, *_others = named.table().splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["metric", "demo", "zh", "Δ zh", "rows"]
    assert [cell.strip() for cell in exact.strip("|").split("|")][:3] == ["exact_match", "50.00", "50.00"]
    monkeypatch.setenv("FAKE_END", "fail")
    with pytest.raises(RunError, match="eval-zh-rows: the model is gone"):
        core.evaluate("zh", workspace=tmp_path, dataset="rows")
