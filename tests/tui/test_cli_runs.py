"""`finetui runs` as a command: lists, facts, following, stopping, resuming, removing, drawing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_trainer
from begun_runs import end_runs
from core.jsonl import append_lines
from core.launch.folder import make_folder
from core.launch.local import COMMAND_VARIABLE, launch_run, train_command
from core.launch.stopping import wait_ended
from core.records import to_record
from core.runs.alive import start_time
from core.runs.catalog import find_run, list_runs
from core.runs.events import StageChanged, Step, Warned
from core.runs.launch_file import Launch
from core.runs.rundir import RunDirectory
from core.runs.state import read_marks, state_of
from core.workspace import Workspace
from hostile import FILE_NAMES
from scripted_runs import BEGAN, ScriptedRun
from tui.cli import ending
from waiting import PATIENCE, until


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    found = Workspace(tmp_path / "ws")
    found.root.mkdir()
    monkeypatch.setenv("FINETUI_WORKSPACE", str(found.root))
    monkeypatch.setenv(COMMAND_VARIABLE, json.dumps(fake_trainer.COMMAND))
    monkeypatch.chdir(found.root)
    yield found
    end_runs(list_runs(found))


@pytest.fixture
def begin(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunDirectory]:
    """Starts a run of the fake trainer that ends in a way; waits for that, or for its last step."""

    def begin(name: str, end: str = "finish", steps: int = 3) -> RunDirectory:
        monkeypatch.setenv("FAKE_END", end)
        monkeypatch.setenv("FAKE_STEPS", str(steps))
        run = RunDirectory(workspace.runs / name)
        make_folder(run, workspace, overwrite=False)
        facts = {"model": "org/demo", "method": "lora", "datasets": ("intro", "more"), "time": 1_800_000_000.0}
        launch_run(run, "x: 1\n", Launch(train_command(run), str(workspace.root), **facts), workspace)  # type: ignore[arg-type]
        if end == "wait":
            until(run.saved_checkpoints, "its last step")
        else:
            wait_ended(run, PATIENCE)
        return run

    return begin


# --- looking ----------------------------------------------------------------------------------------------------


def test_no_runs_say_how_to_start_one(finetui: Any) -> None:
    assert finetui("runs").out == "no runs yet; start one with: finetui train\n"
    missing = finetui("runs", "show", "last")
    assert (missing.code, missing.err) == (2, "error: no run last\nhint: start one with: finetui train\n")


def test_runs_are_listed_with_where_they_stand(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    begin("good")
    begin("bad", "fail")
    begin("going", "wait")
    done = finetui("runs", "list")
    rows = [line.split("  ") for line in done.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["RUN", "KIND", "STATE", "STEP", "LOSS", "EVAL", "METHOD", "MODEL", "DATA", "STARTED"]
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_800_000_000))
    facts = ["3/3", "0.6667", "lora", "demo", "intro,more", begun]
    states = {"good": "finished", "bad": "failed", "going": "running"}
    assert cells[1:] == [[name, "train", state, *facts] for name, state in states.items()]
    assert finetui("runs", "list", "--kind", "train").out == done.out
    assert finetui("runs", "list", "--kind", "eval").out == "no evaluations yet; start one with: finetui eval\n"
    assert finetui("runs", "list", "--kind", "rl").err == (
        "error: there is no kind 'rl' of runs\nhint: there are: train, eval, pipeline, sft, rm, dpo, ppo\n"
    )
    records = finetui("runs", "list", "--json").records
    assert [record["state"] for record in records] == ["finished", "failed", "running"]
    assert (records[1]["error"], records[0]["step"], records[0]["model"]) == ("the loss is no number", 3, "org/demo")


def test_one_run_is_told_in_full(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    run = begin("bad", "fail")
    append_lines(run.events, to_record(Warned(1.0, "\x1b[31mred\x1b[0m")))
    done = finetui("runs", "show", "bad")
    facts = dict(line.split(None, 1) for line in done.out.splitlines()[:-2])
    assert facts["state"] == "failed: the loss is no number"
    assert facts["step"] == "3 of 3, epoch 2.00"
    assert facts["rows"] == "12 rows, 1,200 tokens, 120 of them trained, 3 steps"
    assert facts["warning"] == "␛[31mred␛[0m"
    assert facts["checkpoint"] == "checkpoints/step-000003, 4.1 kB"
    assert done.out.endswith("\n\nloss: nan\n")
    (record,) = finetui("runs", "show", "bad", "--json").records
    assert record["checkpoints"][0]["step"] == 3
    assert record["launch"]["command"][-1] == str(run.path)


def test_names_from_disk_are_shown_not_obeyed(finetui: Any, workspace: Workspace) -> None:
    for name in FILE_NAMES:
        folder = workspace.runs / name
        try:
            folder.mkdir(parents=True)
        except OSError:
            continue
        (folder / "launch.json").write_text("{}")
    done = finetui("runs", "list")
    assert len(done.out.splitlines()) == len(list_runs(workspace)) + 1
    assert "\x1b" not in done.out


# --- steering ---------------------------------------------------------------------------------------------------


def test_stopping_waits_for_the_end(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    run = begin("going", "wait")
    done = finetui("runs", "stop", "going")
    assert (done.code, done.out) == (0, "going: stopped\n")
    assert state_of(run) == "stopped"
    again = finetui("runs", "stop", "going")
    assert (again.code, again.err) == (2, "error: the run going does not run: stopped\n")


@pytest.mark.parametrize(
    ("stage", "busy", "what"),
    [
        ("sft", "training", "its current step"),
        ("ppo", "training", "learning from the answers of its step"),
        ("ppo", "scoring", "the scoring of its answers"),
    ],
)
def test_what_a_stop_waits_for_is_said(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, stage: str, busy: Any, what: str
) -> None:
    monkeypatch.setattr(ending, "_SOON_SECONDS", 0.0)
    monkeypatch.setattr(ending, "_LATE_SECONDS", 0.0)
    run = ScriptedRun(workspace.runs / "deaf", stage=stage)
    run.start()
    run.tell(StageChanged(BEGAN, busy))
    done = finetui("runs", "stop", "deaf")
    assert (done.code, done.err.splitlines()) == (
        1,
        [
            f"deaf ends after {what}; waiting for that",
            "sooner: finetui runs stop deaf --now, or --kill, which saves nothing",
            "deaf has not ended yet",
        ],
    )
    run.finish()


@pytest.mark.parametrize("how", ["--now", "--kill"])
def test_stopping_sooner(finetui: Any, begin: Callable[..., RunDirectory], how: str) -> None:
    run = begin("going", "wait")
    begun = read_marks(run).started
    assert begun is not None
    assert finetui("runs", "stop", "going", how).out == "going: stopped\n"
    assert start_time(begun.pid) is None


def test_leaving_a_run_that_is_followed_leaves_it_running(
    finetui: Any, begin: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin("going", "wait")
    looks = []

    def sleep(_seconds: float) -> None:
        looks.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr("tui.cli.following.time.sleep", sleep)
        done = finetui("runs", "follow", "going")
    assert done.code == 130
    assert "global step 3 ( 100.00% )" in done.out
    assert done.err.splitlines() == [
        "",
        "going goes on without you",
        "see it: finetui runs follow going   stop it: finetui runs stop going",
    ]
    assert len(looks) == 1
    assert state_of(run) == "running"


def test_following_tells_how_it_ended(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    begin("bad", "kill")
    done = finetui("runs", "follow")
    assert done.code == 1
    assert "error: killed by signal 9: most likely out of memory" in done.err
    assert "step 3" in done.err  # the log's end
    assert finetui("runs", "follow", "bad", "--json").records[-1]["type"] == "run_failed"


def test_a_lost_run_is_told_as_lost(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    run = begin("going", "wait")
    begun = read_marks(run).started
    assert begun is not None
    os.kill(begun.pid, signal.SIGKILL)
    done = finetui("runs", "follow", "going")
    assert done.code == 1
    assert "error: the run was lost: its supervisor is gone and said no last word" in done.err
    assert "hint: go on from its last checkpoint: finetui runs resume going" in done.err


def test_a_run_is_resumed_and_followed(
    finetui: Any, workspace: Workspace, begin: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("half", "fail", steps=2)
    monkeypatch.setenv("FAKE_END", "finish")
    monkeypatch.setenv("FAKE_STEPS", "4")
    done = finetui("runs", "resume", "half", "--checkpoint", "2")
    assert done.code == 0
    assert "goes on from step-000002" in done.out
    assert "global step 4 ( 100.00% )" in done.out
    complete = finetui("runs", "resume", "half")
    assert (complete.code, complete.out) == (2, "")
    assert complete.err.splitlines() == [
        "error: the run half is finished: all 4 steps are done",
        "hint: train its adapter further in a new run: --adapter_name_or_path half",
    ]
    assert state_of(find_run("half", workspace)) == "finished"
    detached = finetui("runs", "resume", "half", "--checkpoint", "2", "--detach", "--json").records
    assert detached[0]["from"] == "step-000002"


def test_runs_are_removed_when_they_do_not_run(finetui: Any, begin: Callable[..., RunDirectory]) -> None:
    begin("old")
    going = begin("going", "wait")
    refused = finetui("runs", "rm", "going", "--yes")
    assert refused.code == 2
    assert refused.err.splitlines()[0] == "error: the run going is still going on"
    gone = finetui("runs", "rm", "old", "-y")
    assert gone.out == f"removed {going.path.parent / 'old'}\n"
    assert [record["name"] for record in finetui("runs", "list", "--json").records] == ["going"]


# --- drawing ----------------------------------------------------------------------------------------------------


def test_curves_are_drawn_over_one_another(
    finetui: Any, begin: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("LINES", "24")
    first, second = begin("first", steps=12), begin("second", steps=6)
    done = finetui("runs", "plot", "first", "second", "--no-smooth")
    lines = done.out.splitlines()
    assert all(len(line) <= 72 for line in lines[:20])
    assert lines[0].split() == ["loss", "A", "0.1667", "B", "0.3333"]
    assert any("⠤" in line or "⠒" in line or "⠉" in line for line in lines)
    assert lines[-4:] == [
        "A  first",
        "B  second",
        str(first.path / "training_loss.png"),
        str(second.path / "training_loss.png"),
    ]
    (record, _other) = finetui("runs", "plot", "first", "second", "--json", "--metric", "grad_norm").records
    assert record == {"run": "first", "metric": "grad_norm", "points": [[step, 1.0] for step in range(1, 13)]}


def test_a_curve_that_is_not_there_is_told_with_those_that_are(
    finetui: Any, begin: Callable[..., RunDirectory]
) -> None:
    run = begin("one")
    done = finetui("runs", "plot", "one", "--metric", "los")
    assert (done.code, done.err) == (2, "error: there is no curve los\nhint: did you mean 'loss'?\n")
    append_lines(run.events, to_record(Step(1.0, 4, 4, 1.0, 1.0, 1.0, 1.0, 1, 1, 1.0, 1.0, 1.0, 1.0, 0, {"kl": 0.1})))
    assert finetui("runs", "plot", "one", "--metric", "kl").code == 0
