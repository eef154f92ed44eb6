"""`finetui pipeline` as a command: what it takes, tells, starts and shows. Trainer and evaluator are fakes."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import fake_evaluator
from commands import runner
from core.config.pipeline import as_text
from core.config.pipeline_file import read_pipeline
from core.launch import stopping
from core.launch.stopping import wait_ended
from core.runs.launch_file import read_launch, write_launch
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, read_marks, state_of
from core.workspace import Workspace
from folders import make_adapter
from scripted_runs import ScriptedRun
from tui.cli import ending, pipeline, pipeline_following
from waiting import PATIENCE, until

FILE = """\
name: tales
model_name_or_path: demo
dataset: intro
steps:
  one:
    lora_rank: 4
  two:
    adapter_name_or_path: ${one}
  three:
    does: eval
    adapter_name_or_path: ${one},${two@3}
"""


@pytest.fixture
def workspace(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With the pipeline `tales` too, and what a fake training leaves as weights."""
    (workspace.root / "tales.yaml").write_text(FILE)
    monkeypatch.setenv("FAKE_WEIGHTS", str(make_adapter(tmp_path / "weights", "demo")))
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(fake_evaluator.COMMAND))
    return workspace


@pytest.fixture
def finetui(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> Any:
    return runner(capsys, "pipeline")


def test_the_plan_tells_steps_what_they_stand_on_and_their_options(finetui: Any, workspace: Workspace) -> None:
    plan = finetui("tales.yaml", "--plan", "--one.max_steps", "5", "--lora-rank=16")
    assert (plan.code, plan.err) == (0, "")
    assert plan.out.splitlines() == [
        "STEP   WHAT               NOW     RUN          STANDS ON",
        "one    train sft by lora  begins  tales-one",
        "two    train sft by lora  begins  tales-two    one (adapter_name_or_path)",
        "three  eval               begins  tales-three  one (adapter_name_or_path), two@3 (adapter_name_or_path)",
        "",
        "every step:",
        "  model_name_or_path  demo   tales.yaml:2",
        "  dataset             intro  tales.yaml:3",
        "",
        "one:",
        "  lora_rank  16  --lora-rank",
        "  max_steps  5   --one.max_steps",
        "",
        "two:",
        "  adapter_name_or_path  ${one}  tales.yaml:8",
        "  lora_rank             16      --lora-rank",
        "",
        "three:",
        "  adapter_name_or_path  ${one}, ${two@3}  tales.yaml:11",
        "  ! ${two@3}: two saves every 500 steps",
    ]
    every_option = as_text(read_pipeline(Path("tales.yaml")))  # as a pipeline's own folder holds it
    Path("all.yaml").write_text(every_option)
    again = finetui("all.yaml", "--plan").out
    assert "weight_decay" in every_option
    assert "weight_decay" not in again
    assert again.count("model_name_or_path  demo") == 1
    (record,) = finetui("tales.yaml", "--plan", "--json").records
    assert [(step["name"], step["what"], step["after"]) for step in record["steps"]] == [
        ("one", "begin", []),
        ("two", "begin", ["one"]),
        ("three", "begin", ["one", "two"]),
    ]
    assert record["steps"][0]["options"]["lora_rank"] == 4
    assert not workspace.runs.exists()


def test_it_is_followed_to_its_end_and_the_same_command_does_nothing_twice(
    finetui: Any, workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = finetui("tales.yaml")
    assert done.code == 0
    assert done.err.splitlines() == [
        "warning: three: ${two@3}: two saves every 500 steps",
        "pipeline tales; ctrl+c leaves it running",
    ]
    lines = done.out.splitlines()
    assert [line for line in lines if " | " not in line][:6] == [
        "one begins (1 of 3)",
        "one is finished",
        "two begins (2 of 3)",
        "two is finished",
        "three begins (3 of 3)",
        "three is finished",
    ]
    assert "one   | global step 3 ( 100.00% ) , epoch: 2, loss: 0.66667, speed: 0.50 step/s, ETA: 00:00:00" in lines
    assert "two   | saved checkpoints/step-000003, 4.1 kB" in lines
    assert "three | tales-two@3 · intro: 4 rows, exact_match: 50, bleu-4: 61.5" in lines
    assert re.fullmatch(r"METRIC +tales-one +tales-two@3", lines[lines.index("intro: 4 rows") + 1])
    assert lines[-1] == "tales: finished, 3 of 3 steps done"

    again = finetui("tales")  # by its name
    assert (again.code, again.err) == (0, "all steps are finished\n")
    assert again.out.splitlines()[-1] == "tales: finished, 3 of 3 steps done"
    assert sum("run_started" in line for line in (workspace.runs / "tales-one/events.jsonl").open()) == 1
    runs = runner(capsys, "runs")
    assert runs("follow", "tales").out.splitlines()[-1] == "tales: finished, 3 of 3 steps done"
    assert re.match(r"tales +pipeline +finished +3/3 ", runs("list", "--kind", "pipeline").out.splitlines()[1])
    shown = runs("show", "tales").out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in shown if line.startswith("step")] == [
        "one: finished",
        "two: finished, stands on one",
        "three: finished, stands on one, two",
    ]
    refused = finetui("tales.yaml", "--one.lora_rank", "8")
    assert refused.code == 2
    assert refused.err.splitlines() == [
        "error: --one.lora_rank: was 4 when one was made",
        "hint: put it back, or make one, two, three anew: --restart one",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.sys.stdin, "isatty", lambda: True, raising=False)
        patch.setattr(pipeline.typer, "confirm", refuse)
        asked = finetui("tales.yaml", "--restart", "three")
    assert asked.code == 130
    assert asked.err.splitlines()[1] == "three is made anew: its run tales-three (finished) is deleted"
    assert state_of(RunDirectory(workspace.runs / "tales-three")) == "finished"
    assert finetui().err == ("error: which pipeline?\nhint: name its file, or one that was started: tales\n")


def refuse(*_: object, **_options: object) -> None:
    raise typer.Abort


def test_a_failed_step_is_told_with_its_log_and_gone_on_with(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END_tales-two", "fail")
    failed = finetui("tales.yaml")
    assert failed.code == 1
    assert failed.err.splitlines()[-3:] == [
        "loss: nan",
        "error: two failed: the loss is no number",
        "hint: lower the learning_rate; then go on: finetui pipeline tales",
    ]
    assert failed.out.splitlines()[-1] == "tales: failed, 1 of 3 steps done"
    monkeypatch.delenv("FAKE_END_tales-two")
    records = finetui("tales", "--json").records
    moves = [f"{one['move']} {one['step']}" for one in records if one["type"] == "step_moved"]
    assert moves[-5:] == ["kept one", "resumed two", "finished two", "started three", "finished three"]
    assert {one.get("pipeline_step") for one in records} == {None, "two", "three"}
    assert [one["error"] for one in records if one["type"] == "run_failed"] == []


def test_detached_shown_and_stopped(finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves a pipeline leaves it running."""
    monkeypatch.setenv("FAKE_END_tales-one", "wait")
    left = finetui("tales.yaml", "--detach")
    assert (left.code, left.out) == (0, "started tales\n")
    assert left.err.endswith("see it: finetui pipeline tales   stop it: finetui pipeline tales --stop\n")
    one = RunDirectory(workspace.runs / "tales-one")
    until(one.saved_checkpoints, "its last step")
    refused = finetui("tales.yaml", "--restart", "one")
    assert "error: --restart: the pipeline is still going on\n" in refused.err

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline_following.time, "sleep", leave)
        seen = finetui("tales")
    assert seen.code == 130
    assert "it is going on already\n" in seen.err
    assert seen.err.splitlines()[-2] == "tales goes on without you"
    with monkeypatch.context() as patch:
        patch.setattr(ending, "_SOON_SECONDS", 0.0)
        patch.setattr(ending, "_LATE_SECONDS", 0.0)
        conductor = read_marks(RunDirectory(workspace.runs / "tales")).started
        assert conductor is not None
        os.kill(conductor.pid, signal.SIGSTOP)  # it takes long to end
        assert finetui("tales", "--stop").err.splitlines() == [
            "tales ends after its current step; waiting for that",
            "sooner: finetui runs stop tales --now, or --kill, which saves nothing",
            "tales has not ended yet",
        ]

        def awake_and_wait(run: RunDirectory, seconds: float) -> RunState:
            os.kill(conductor.pid, signal.SIGCONT)
            return wait_ended(run, PATIENCE)

        patch.setattr(stopping, "wait_ended", awake_and_wait)
        start_again = finetui("tales", "--restart", "one", "--detach")
    assert start_again.code == 0
    assert start_again.err.splitlines()[:3] == [
        "tales is still ending; waiting for that, then it goes on (ctrl+c leaves it alone)",
        "warning: three: ${two@3}: two saves every 500 steps",
        "one is made anew: its run tales-one (stopped) is deleted",
    ]
    until(one.saved_checkpoints, "its last step again")
    stopped = finetui("tales", "--stop")
    assert (stopped.code, stopped.out) == (0, "tales: stopped\n")
    assert state_of(one) == "stopped"
    assert finetui("tales", "--stop").err == "error: the run tales does not run: stopped\n"


def test_a_lost_pipeline_says_where_its_last_word_may_have_found_no_place(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ScriptedRun(workspace.runs / "tales")
    write_launch(run.run, replace(read_launch(run.run), kind="pipeline"))
    run.run.config.write_text(as_text(read_pipeline(Path("tales.yaml"))))
    run.start(alive=False)
    follow = runner(capsys, "runs")
    lost = "error: the pipeline was lost: its process is gone and said no last word\nhint: "
    assert follow("follow", "tales").err == f"{lost}go on: finetui pipeline tales\n"
    monkeypatch.setattr(pipeline_following.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    expected = f"{lost}the disk is full: free some; then go on: finetui pipeline tales\n"
    assert follow("follow", "tales").err == expected


def test_what_is_typed_wrongly_is_told(finetui: Any, workspace: Workspace) -> None:
    assert finetui().err.splitlines()[0] == "error: which pipeline?"
    assert finetui("nothing.yaml").err == "error: nothing.yaml: cannot be read: No such file or directory\n"
    assert finetui("tale").err.splitlines()[0] == "error: no run tale"
    assert finetui("tales.yaml", "--tree.seed", "1").err.splitlines() == [
        "error: --tree.seed: there is no such step",
        "hint: did you mean 'three'?",
    ]
    assert finetui("tales.yaml", "--two.lora_rank", "many").err.splitlines() == [
        "error: --two.lora_rank: expected a whole number from 1 up, not 'many'"
    ]
    assert finetui("tales.yaml", "--plann").err.splitlines() == [
        "error: --plann: is no option",
        "hint: did you mean 'plan'?",
    ]
    assert not workspace.runs.exists()


def test_help_tells_how_options_reach_steps(finetui: Any) -> None:
    out = finetui("--help").out
    assert "FILE.yaml [--OPTION VALUE]… [--STEP.OPTION VALUE]…" in out
    assert "--restart STEP,…" in out
    assert all(len(line) <= 80 for line in out.splitlines())
