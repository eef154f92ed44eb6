"""`core.load_model`: a model to talk to from Python, over a scripted worker or a fake server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from core import Message, ModelSpec, load_model
from core.errors import AdapterMismatch, ModelNotFound, ServerError, UsageError, WorkerError
from core.workspace import Workspace
from fakes import fake_worker_command
from folders import make_adapter, make_model
from served import ServedFake

QUESTION = [Message("user", "What is the capital of France?")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    make_model(tmp_path / "models" / "tiny")
    make_adapter(tmp_path / "runs" / "sft", "tiny")
    make_adapter(tmp_path / "runs" / "other", "tiny", layers=3)
    worker(monkeypatch, tmp_path)
    return Workspace(tmp_path)


def worker(monkeypatch: pytest.MonkeyPatch, folder: Path, **behaviour: Any) -> None:
    command = fake_worker_command(**{"record": str(folder / "requests.jsonl"), **behaviour})
    monkeypatch.setenv("FINETUI_WORKER_COMMAND", json.dumps(command))


def requests(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    records = map(json.loads, (workspace.root / "requests.jsonl").read_text().splitlines())
    return [record for record in records if record["type"] == kind]


def test_a_model_and_its_adapter_answer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(monkeypatch, workspace.root, adapter_answers={"sft": ["Paris, of course."]}, warnings=["slow disk"])
    spec = ModelSpec("tiny", adapter="sft", dtype="bfloat16", threads=2, template="chatml")
    with load_model(spec, workspace) as model:
        assert model.warnings[-1] == "slow disk"
        assert list(model.chat(QUESTION, max_new_tokens=64, temperature=0.5)) == ["Paris,", " of", " course."]
        assert model.finish_reason == "stop"
        assert model.usage is not None
        assert model.usage.answer_tokens == 3
        assert "".join(model.chat(QUESTION, max_new_tokens=1)) == "Paris,"
        assert model.finish_reason == "length"
    (load,) = requests(workspace, "load")
    assert (load["dtype"], load["threads"], load["template"]) == ("bfloat16", 2, "chatml")
    asked = requests(workspace, "generate")[0]
    assert asked["rows"][0]["adapter"] == "sft"
    assert asked["sampling"]["temperature"] == 0.5
    with pytest.raises(UsageError, match="the model was closed"):
        model.chat(QUESTION)


def test_leaving_an_answer_early_stops_the_model(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(monkeypatch, workspace.root, answers=["word " * 5000, "Short."], pace=0.001)
    with load_model("tiny", workspace) as model:
        for _text in model.chat(QUESTION):
            break
        assert "".join(model.chat(QUESTION)) == "Short."
    assert requests(workspace, "stop")


def test_what_is_wrong_is_said_before_anything_is_loaded(workspace: Workspace) -> None:
    with pytest.raises(ModelNotFound, match="no model tini"):
        load_model("tini", workspace)
    with pytest.raises(AdapterMismatch):
        load_model(ModelSpec("tiny", adapter="other"), workspace)
    with pytest.raises(UsageError, match="takes no adapter"):
        load_model(ModelSpec("http://127.0.0.1:9/v1#m", adapter="sft"), workspace)
    with pytest.raises(ServerError, match="names no host"):
        load_model("http:///v1#m", workspace)
    assert not (workspace.root / "requests.jsonl").exists()


def test_a_mistyped_option_is_told_the_nearest(workspace: Workspace) -> None:
    with (
        load_model("tiny", workspace) as model,
        pytest.raises(UsageError, match="chat has no option temprature") as caught,
    ):
        model.chat(QUESTION, temprature=1)
    assert caught.value.hint == "did you mean 'temperature'?"


def test_a_worker_that_dies_in_an_answer_is_an_error(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(monkeypatch, workspace.root, crash_at="decode", answers=["a b c d e f"])
    with load_model("tiny", workspace) as model:
        answer = model.chat(QUESTION)
        assert [next(answer), next(answer), next(answer)] == ["a", " b", " c"]
        with pytest.raises(WorkerError, match="killed by signal 9"):
            next(answer)
        assert model.finish_reason is None


async def test_a_served_model_answers_also_where_a_loop_runs_already(workspace: Workspace) -> None:
    assert asyncio.get_running_loop().is_running()
    with ServedFake() as fake, load_model(f"{fake.api_base}#echo", workspace) as model:
        assert "".join(model.chat(QUESTION)) == "you said: What is the capital of France?"
