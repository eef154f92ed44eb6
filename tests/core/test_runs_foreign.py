"""Runs of other tools are read, and what finetui prints is what they print."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from core.runs.events import Step
from core.runs.history import read_history
from core.runs.rundir import RunDirectory
from core.runs.summary import summarise
from core.runs.told import clock, log_line, metrics_blocks

# --- other tools ------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> RunDirectory:
    """What LLaMA-Factory leaves of a run that was resumed: steps 10 and 20, then 20 again."""
    folder = tmp_path / "runs" / "llama" / "sft"
    folder.mkdir(parents=True)
    rows = [
        {"current_steps": 10, "total_steps": 30, "loss": 2.0, "lr": 1e-4, "epoch": 1.0, "elapsed_time": "0:00:10"},
        {"current_steps": 20, "total_steps": 30, "loss": 9.0, "lr": 1e-4, "epoch": 2.0, "elapsed_time": "0:00:20"},
        {"current_steps": 20, "total_steps": 30, "loss": 1.0, "lr": 5e-5, "epoch": 2.0, "elapsed_time": "0:00:07"},
        {"current_steps": 20, "total_steps": 30, "eval_loss": 1.25, "epoch": 2.0, "elapsed_time": "0:00:08"},
        {"current_steps": 30, "total_steps": 30, "loss": math.nan, "epoch": 3.0, "elapsed_time": "1 day, 0:00:09"},
        {"current_steps": 30, "total_steps": 30, "epoch": 3.0, "elapsed_time": "0:00:09"},
    ]
    text = "\n".join(map(json.dumps, rows)) + '\n{"current_st'
    (folder / "trainer_log.jsonl").write_text(text)
    log = [{"step": 10, "loss": 2.0, "grad_norm": 0.25}, {"step": 20, "loss": 1.0, "grad_norm": 0.5}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log, "max_steps": 30}))
    (folder / "all_results.json").write_text(json.dumps({"train_loss": 1.5, "epoch": 3.0, "name": "x"}))
    return RunDirectory(folder)


def test_a_folder_of_llama_factory_is_a_finished_run(foreign: RunDirectory) -> None:
    history = read_history(foreign)
    assert history.state == "finished"
    losses = [(piece.last, piece.mean) for piece in history.curves["loss"].slices]
    assert losses[:2] == [(10, 2.0), (20, 1.0)]
    assert math.isnan(losses[2][1])
    assert history.curves["eval_loss"].last == 1.25
    assert [piece.mean for piece in history.curves["grad_norm"].slices][:2] == [0.25, 0.5]
    assert history.finished is not None
    assert history.finished.metrics == {"train_loss": 1.5, "epoch": 3.0}
    found = summarise(foreign)
    assert (found.state, found.step, found.total_steps, found.elapsed) == ("finished", 30, 30, 86409.0)


def test_a_trainer_state_alone_is_enough(foreign: RunDirectory) -> None:
    (foreign.path / "trainer_log.jsonl").unlink()
    assert [piece.mean for piece in read_history(foreign).curves["loss"].slices] == [2.0, 1.0]


# --- lines ------------------------------------------------------------------------------------------------------


def test_the_log_line_is_the_one_of_seed_003() -> None:
    told = Step(0.0, 100, 3000, 17.4, 0.793121, 0.1, 1e-4, 1, 1, 1.0, 1.0, 64.0, 1857.0)
    line = "global step 100 ( 3.33% ) , epoch: 17, loss: 0.79312, speed: 1.56 step/s, ETA: 00:30:57"
    assert log_line(told, 1.5625) == line
    assert ", loss: 0.79312, speed: 469 s/step, ETA: " in log_line(told, 1 / 469)
    watched = dataclasses.replace(told, metrics={"kl_coef": 0.2, "kl": 0.5, "reward": 1.25})
    assert ", loss: 0.79312, reward: 1.25, kl: 0.5, speed: 0.00 step/s, " in log_line(watched, 0.0)
    assert clock(90061) == "1 day, 1:01:01"


def test_the_metrics_block_is_that_of_transformers() -> None:
    results = {"epoch": 3.0, "train_loss": 1.23456, "train_runtime": 75.5, "train_samples": 24.0, "eval_loss": 2.0}
    assert metrics_blocks(results).splitlines() == [
        "***** train metrics *****",
        "  epoch         =        3.0",
        "  train_loss    =     1.2346",
        "  train_runtime = 0:01:15.50",
        "  train_samples =         24",
        "***** eval metrics *****",
        "  epoch     = 3.0",
        "  eval_loss = 2.0",
    ]
