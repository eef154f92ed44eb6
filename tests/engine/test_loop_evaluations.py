"""What a training looks at on the way: evaluations, patience, probes, rows that were left out or cut."""

from __future__ import annotations

import json
import math

import pytest

from core.runs.events import (
    CheckpointRemoved,
    CheckpointSaved,
    DataReady,
    ModelReady,
    Sample,
)
from core.workspace import Workspace
from training_runs import train_here


def test_patience_ends_it_and_the_best_is_kept(workspace: Workspace, name: str) -> None:
    """At this rate the tiny model gets worse soon."""
    trained = train_here(
        workspace,
        name,
        finetuning_type="full",
        val_size=6,
        eval_steps=1,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        num_train_epochs=20,
        early_stopping_steps=3,
        load_best_model_at_end=True,
        save_total_limit=1,
    )
    finished = trained.finished()
    losses = [one.metrics["loss"] for one in trained.evaluations]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert finished.reason == "early_stopping"
    assert finished.step == len(losses) == best + 1 + 3
    assert [one.best for one in trained.evaluations] == [loss <= min(losses[: i + 1]) for i, loss in enumerate(losses)]
    assert finished.metrics["eval_loss"] == losses[best]  # what was kept, not what came last
    kept = [path.name for path in trained.run.saved_checkpoints()]
    assert kept[0] == f"step-{best + 1:06d}"
    assert len(kept) <= 2
    assert len(trained.all(CheckpointRemoved)) + len(kept) == len(trained.all(CheckpointSaved)) - 1  # `.` is the run
    stored = trained.run.checkpoint(best + 1) / "model.safetensors"
    assert stored.read_bytes() == (trained.run.path / "model.safetensors").read_bytes()
    state = json.loads((trained.run.path / "trainer_state.json").read_bytes())
    assert (state["best_global_step"], state["best_metric"]) == (best + 1, losses[best])


def test_each_data_set_is_evaluated_by_itself_and_all_together(workspace: Workspace, name: str) -> None:
    (workspace.data / "more.json").write_text(json.dumps([{"instruction": "And now?", "output": "Nothing."}] * 3))
    info = {"colours": {"file_name": "colours.json"}, "more": {"file_name": "more.json"}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info))
    trained = train_here(
        workspace,
        name,
        eval_dataset=("colours", "more"),
        eval_steps=2,
        max_steps=3,
        metric_for_best_model="eval_more_accuracy",
        per_device_eval_batch_size=2,
    )
    assert [(one.dataset, one.step, one.rows) for one in trained.evaluations] == [
        ("colours", 2, 26),
        ("more", 2, 3),
        ("colours", 3, 26),
        ("more", 3, 3),
    ]
    metrics = trained.finished().metrics
    first, second = trained.evaluations[-2:]
    assert metrics["eval_colours_loss"] == first.metrics["loss"]
    assert metrics["eval_more_loss"] == second.metrics["loss"]
    low, high = sorted((first.metrics["loss"], second.metrics["loss"]))
    assert low < metrics["eval_loss"] < high
    assert metrics["eval_perplexity"] == pytest.approx(math.exp(metrics["eval_loss"]))


def test_an_unknown_metric_is_refused_before_the_model_is_loaded(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, val_size=4, max_steps=2, metric_for_best_model="los")
    assert trained.failed().error == "metric_for_best_model: evaluations have no 'los'"
    assert trained.failed().hint.startswith("did you mean 'loss'?")
    assert not trained.all(ModelReady)


def test_patience_without_evaluation_rows_is_refused(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, max_steps=2, early_stopping_steps=2)
    assert trained.failed().error == "early_stopping_steps compares evaluations, and there are no rows to evaluate"


def test_bad_rows_that_are_left_out_are_neither_trained_nor_asked(workspace: Workspace, name: str) -> None:
    good = [json.dumps({"instruction": f"What is {n}?", "output": "red"}) for n in range(6)]
    (workspace.data / "gaps.jsonl").write_text("\n".join(["{broken", good[0], "{broken", *good[1:]]))
    options = {"dataset": ("gaps.jsonl",), "on_bad_rows": "skip", "max_steps": 1, "probe_max_new_tokens": 2}
    for limits, rows in (({}, 6), ({"max_samples": 3}, 3)):
        trained = train_here(workspace, f"{name}-{rows}", **options, **limits)
        assert trained.finished().reason == "completed"
        (ready,) = trained.all(DataReady)
        assert (ready.rows, ready.left_out_rows) == (rows, 2)
        assert trained.warnings[0] == "2 rows are left out"
        assert [sample.prompt for sample in trained.all(Sample)][:2] == ["What is 0?", "What is 1?"]


def test_what_is_cut_of_evaluation_rows_is_told(workspace: Workspace, name: str) -> None:
    row = json.dumps({"instruction": "What? " * 200, "output": "red"})
    (workspace.data / "long_test.jsonl").write_text(row)
    trained = train_here(workspace, name, max_steps=1, eval_dataset=("long_test.jsonl",), cutoff_len=128)
    assert "long_test: 1 row is too long and is cut: 100.0 % of them, " in trained.warnings[0]


def test_probes_are_answered_before_at_evaluations_and_at_the_end(workspace: Workspace, name: str) -> None:
    options = {"max_steps": 3, "eval_steps": 2, "probe_prompt": ("Who are you?", "[b]?"), "probe_max_new_tokens": 5}
    trained = train_here(workspace, name, lora_dropout=0.5, **options)
    samples = trained.all(Sample)
    assert [(one.step, one.prompt) for one in samples] == [
        (step, prompt) for step in (0, 2, 3) for prompt in ("Who are you?", "[b]?")
    ]
    assert any(one.answer for one in samples)
    last = train_here(workspace, f"{name}-last", **{**options, "eval_strategy": "no"})
    assert [one.step for one in last.all(Sample)] == [0, 0, 3, 3]  # before and after, whoever wants no evaluations
    silent = train_here(workspace, f"{name}-silent", lora_dropout=0.5, **{**options, "probe_max_new_tokens": 0})
    assert silent.losses == trained.losses  # probes draw from no generator
    assert not silent.all(Sample)
