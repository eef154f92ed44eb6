"""The files of a run, with the numbers of those who write them too."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from core.engine.diary import Diary
from core.engine.training.evaluate import Evaluated
from core.engine.training.factory_files import FactoryFiles, train_metrics
from core.engine.training.judge import Judge, Standing
from core.engine.training.plots import smoothed, write_plots
from core.engine.training.progress import Progress
from core.runs.events import Evaluation, Step
from core.runs.rundir import RunDirectory
from core.runs.told import clock, log_line, metrics_block
from core.workspace import Workspace
from training_runs import make_workspace, train_here
from waiting import until


def point(step: int, *, loss: float = 0.79312, remaining: float = 1857.4) -> Step:
    return Step(
        time=1.0,
        step=step,
        total_steps=3000,
        epoch=step / 5.7,
        loss=loss,
        grad_norm=1.5,
        learning_rate=1e-4,
        rows=400,
        tokens=4000,
        rows_per_second=6.24,
        tokens_per_second=62.4,
        elapsed=64.1,
        remaining=remaining,
    )


def test_the_line_of_progress_is_that_of_seed_003() -> None:
    assert log_line(point(100), 1.56) == (
        "global step 100 ( 3.33% ) , epoch: 17, loss: 0.79312, speed: 1.56 step/s, ETA: 00:30:57"
    )
    assert clock(90061) == "1 day, 1:01:01"
    assert clock(0) == "00:00:00"


def test_what_takes_long_is_told_while_it_lasts(tmp_path: Path) -> None:
    diary = Diary(RunDirectory(tmp_path))
    diary.stage("training")
    with diary.meanwhile("scoring", 60.0):
        pass
    assert diary.busy_with == "training"
    with diary.meanwhile("scoring", 0.0):
        until(lambda: diary.busy_with == "scoring", "the word")
    told = [json.loads(line) for line in diary.run.events.read_text().splitlines()]
    assert [event["stage"] for event in told] == ["training", "scoring", "training"]


def test_trainer_log_has_llama_factorys_keys(tmp_path: Path) -> None:
    files = FactoryFiles(tmp_path)
    files.settings = {"max_steps": 3000}
    files.add_point(point(100))
    result = Evaluation(1.0, 100, 17.5438, {"loss": 0.5, "perplexity": math.exp(0.5), "accuracy": 0.75}, 8, 2.0)
    files.add_evaluation(Evaluated((result,), result.metrics, 8, 4, 2.0, 17.5438), Progress(100, tokens=4000), 7.0)
    lines = [json.loads(line) for line in (tmp_path / "trainer_log.jsonl").read_bytes().splitlines()]
    assert lines[0] == {
        "current_steps": 100,
        "total_steps": 3000,
        "loss": 0.79312,
        "lr": 1e-4,
        "epoch": 17.5439,
        "percentage": 3.33,
        "elapsed_time": "0:01:04",
        "remaining_time": "0:30:57",
        "throughput": 62.4,
        "total_tokens": 4000,
    }
    assert {key: lines[1][key] for key in ("current_steps", "eval_loss", "epoch", "percentage")} == {
        "current_steps": 100,
        "eval_loss": 0.5,
        "epoch": 17.5438,
        "percentage": 3.33,
    }
    assert files.history[1]["eval_samples_per_second"] == 4.0
    assert files.history[1]["eval_accuracy"] == 0.75


def test_a_resume_cuts_the_log_at_its_checkpoint_and_forgets_a_torn_line(tmp_path: Path) -> None:
    files = FactoryFiles(tmp_path)
    for step in (10, 20, 30):
        files.add_point(point(step))
    with (tmp_path / "trainer_log.jsonl").open("ab") as log:
        log.write(b'{"current_steps": 40, "lo')
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": files.history[:2]}))
    again = FactoryFiles(tmp_path)
    again.begin(tmp_path / "trainer_state.json", 20)
    again.add_point(point(30, loss=0.5))
    lines = [json.loads(line) for line in (tmp_path / "trainer_log.jsonl").read_bytes().splitlines()]
    assert [(line["current_steps"], line["loss"]) for line in lines] == [(10, 0.79312), (20, 0.79312), (30, 0.5)]
    assert [row["step"] for row in again.history] == [10, 20, 30]


def test_train_metrics_count_what_was_really_consumed() -> None:
    """Seed 004: 3000 steps over 24 rows are 57,600 rows, not 192,000."""
    progress = Progress(step=3000, rows=57600, tokens=2_000_000, loss=600.0, elapsed=4598.45)
    metrics = train_metrics(progress, 2400.0, 24, 5e9)
    assert metrics_block("train", metrics) == "\n".join(
        [
            "***** train metrics *****",
            "  epoch                    =     2400.0",
            "  num_input_tokens_seen    =    2000000",
            "  total_flos               =        4GF",
            "  train_loss               =        0.2",
            "  train_runtime            = 1:16:38.44",
            "  train_samples            =         24",
            "  train_samples_per_second =     12.526",
            "  train_steps_per_second   =      0.652",
        ]
    )


def test_smoothing_is_llama_factorys() -> None:
    assert smoothed([4, 3, 2, 1]) == pytest.approx([4, 3.08970, 2.09775, 1.09847], abs=5e-6)
    assert smoothed([]) == []
    assert smoothed([5.0]) == [5.0]
    weight = 0.9  # from 250 points on
    assert smoothed([0.0] * 249 + [1.0])[-1] == pytest.approx(1 - weight, abs=1e-4)


def test_pictures_are_written_of_what_there_is(tmp_path: Path) -> None:
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 2, "train_loss": 2.5}]
    assert write_plots(tmp_path, "sft", history) == [tmp_path / "training_loss.png"]
    history.append({"step": 2, "eval_loss": 2.5})
    named = tmp_path / "a $name_"
    named.mkdir()
    assert [path.name for path in write_plots(named, "sft", history)] == ["training_loss.png", "training_eval_loss.png"]
    assert (named / "training_loss.png").read_bytes().startswith(b"\x89PNG")
    assert write_plots(tmp_path, "sft", []) == []


def test_a_run_leaves_the_originals_files(tmp_path: Path) -> None:
    workspace: Workspace = make_workspace(tmp_path / "workspace")
    trained = train_here(workspace, "run", max_steps=3, val_size=4, plot_loss=True, save_strategy="steps", save_steps=2)
    names = {path.name for path in trained.run.path.iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "all_results.json",
        "config.yaml",
        "eval_results.json",
        "events.jsonl",
        "finetui.json",
        "README.md",
        "train_results.json",
        "trainer_log.jsonl",
        "trainer_state.json",
        "training_eval_loss.png",
        "training_loss.png",
    }
    everything = json.loads((trained.run.path / "all_results.json").read_bytes())
    apart = [json.loads((trained.run.path / f"{name}_results.json").read_bytes()) for name in ("train", "eval")]
    assert everything == {**apart[0], **apart[1]}
    assert trained.finished().metrics == everything
    state = json.loads((trained.run.path / "trainer_state.json").read_bytes())
    assert (state["global_step"], state["max_steps"], state["epoch"]) == (3, 3, 0.5)
    assert state["log_history"][-1]["train_loss"] == pytest.approx(sum(trained.losses) / 3)
    assert [row["loss"] for row in state["log_history"] if "loss" in row] == trained.losses
    assert [row["eval_loss"] for row in state["log_history"] if "eval_loss" in row] == [
        one.metrics["loss"] for one in trained.evaluations
    ]


# --- judging ------------------------------------------------------------------------------------------------------


def test_patience_counts_evaluations_that_are_not_better_by_the_threshold() -> None:
    judge = Judge("loss", greater_is_better=False, patience=2, threshold=0.1)
    standing = Standing()
    told = []
    for step, loss in enumerate((1.0, 0.95, 0.7, 0.65, math.nan), start=1):
        standing = judge.look(standing, step, {"loss": loss})
        told.append((standing.best_step, standing.since, judge.is_patience_used_up(standing)))
    # 0.95 and 0.65 are the best so far, but not by 0.1; not a number is never better
    assert told == [(1, 0, False), (2, 1, False), (3, 0, False), (4, 1, False), (4, 2, True)]


def test_accuracy_is_better_when_it_is_more() -> None:
    judge = Judge("accuracy", greater_is_better=True, patience=None, threshold=0.0)
    standing = judge.look(judge.look(Standing(), 1, {"accuracy": 0.5}), 2, {"accuracy": 0.4})
    assert standing == Standing(1, 0.5, 1)
    assert not judge.is_patience_used_up(standing)
