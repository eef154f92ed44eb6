"""Evaluations of a served model: asked by a process without torch, each failure in its row, nothing lost by a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evaluation_runs import Evaluated, add_set

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.config.save import as_yaml
from core.runs.events import Answered
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from served import ServedFake, Turn, free_port_base
from waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
ROWS = [{"instruction": f"Q{number}", "output": f"you said: Q{number}"} for number in range(6)]
_COMMAND = (
    "import sys\n"
    "from core.engine.evaluate import main\n"
    "code = main(sys.argv[1:])\n"
    "print('heavy:', [name for name in ('torch', 'transformers', 'peft') if name in sys.modules])\n"
    "sys.exit(code)"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.data.mkdir()
    made.runs.mkdir()
    (made.data / "dataset_info.json").write_text("{}")
    add_set(made, "questions", ROWS)
    return made


def start(workspace: Workspace, name: str, api_base: str, **options: Any) -> tuple[Evaluated, subprocess.Popen[str]]:
    run = RunDirectory(workspace.runs / name)
    values = {"dataset": ("questions",), "api_base": api_base, "api_retries": 0, "bootstrap": 20, **options}
    if options or not run.path.exists():
        run.path.mkdir(exist_ok=True)
        run.config.write_text(as_yaml(load(EVALUATION, values=values), *EVALUATION))
    environment = {**os.environ, "FINETUI_WORKSPACE": str(workspace.root), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _COMMAND, str(run.path)],
        env={**environment, "OPENAI_API_KEY": "sk-very-secret"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Evaluated(run), process


def evaluated(workspace: Workspace, name: str, api_base: str, **options: Any) -> tuple[Evaluated, str]:
    found, process = start(workspace, name, api_base, **options)
    output, _nothing = process.communicate(timeout=PATIENCE)
    return found, output


def test_answers_errors_and_thinking_stand_in_their_rows_and_no_torch_is_loaded(workspace: Workspace) -> None:
    turns = {
        "Q1": [Turn(status=500)],
        "Q2": [Turn(ends="mid_stream", text="half of an answer")],
        "Q3": [Turn(body=b"<html>garbage</html>")],
        "Q4": [Turn(text="42", thinking="six times seven")],
        "Q5": [Turn(text="<think>hm</think>\n\nyou said: Q5", finish_reason="length")],
    }
    with ServedFake(turns=turns, key="sk-very-secret") as served:
        found, output = evaluated(workspace, "several", served.api_base, default_system="Be short.", seed=5)
        bodies = [request["body"] for request in served.requests]
    assert "heavy: []" in output
    rows, report = found.rows(), found.report()
    assert [bool(row.error) for row in rows] == [False, True, True, True, False, False]
    assert "500" in rows[1].error
    assert [rows[at].predict for at in (0, 1, 2, 4, 5)] == ["you said: Q0", "", "", "42", "you said: Q5"]
    assert [rows[at].thinking for at in (4, 5)] == ["six times seven", "hm"]
    assert rows[5].finish_reason == "length"
    assert rows[0].prompt == "system: Be short.\n\nuser: Q0"
    assert rows[0].prompt_tokens == 3
    assert (report.answered, report.failed, report.complete) == (3, 3, True)
    assert report.values["exact_match"].value == pytest.approx(200 / 3)
    assert report.subject.model == "echo"
    assert report.subject.path == served.api_base
    assert all(body["temperature"] == 0 and body["max_tokens"] == 512 and body["seed"] == 5 for body in bodies)
    written = b"".join(path.read_bytes() for path in found.run.path.rglob("*") if path.is_file())
    assert b"sk-very-secret" not in written
    assert "sk-very-secret" not in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_early_it_goes_on_with_the_rows_that_are_left(workspace: Workspace, number: signal.Signals) -> None:
    name = f"ended-{number.name}"
    with ServedFake(turns={"Q4": [Turn(ends="silent")]}) as served:
        found, process = start(workspace, name, served.api_base, api_concurrency=2)
        journal = found.run.path / "answers.jsonl"
        while not journal.exists() or len(journal.read_bytes().splitlines()) < 5:
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        if number == signal.SIGTERM:
            assert process.returncode == 0
            assert (found.finished().reason, found.report().complete, len(found.rows())) == ("stopped", False, 5)
        found, _output = evaluated(workspace, name, served.api_base)
        assert [served.asked(f"Q{number}") for number in range(6)] == [1, 1, 1, 1, 2, 1]
    assert [row.predict for row in found.rows()] == [row["output"] for row in ROWS]
    assert found.report().complete
    assert found.all(Answered)[-1].done == 6


def test_a_server_that_is_gone_fails_the_run_and_not_the_rows(workspace: Workspace) -> None:
    found, _output = evaluated(workspace, "gone", free_port_base(), api_model="echo")
    assert "127.0.0.1" in found.failed().error
    assert not (found.run.path / "generated_predictions.jsonl").exists()
    with ServedFake() as served:
        found, _output = evaluated(workspace, "gone", served.api_base, api_model="echo")
    assert found.report().values["exact_match"].value == 100.0
