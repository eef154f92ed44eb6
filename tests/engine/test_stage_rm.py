"""Stage rm, from the command's folder to what it leaves: a head that tells the better answer, wherever it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from preference_runs import SMALL_PAIRS, make_pair_workspace, predictions, told, weights_of
from safetensors.torch import load_file

from core.chat.message import Message
from core.config.evaluation import EvaluatedModelOptions
from core.engine.evaluating.rewards import find_reward_model, load_reward_model
from core.runs.events import ModelReady, Step
from core.workspace import Workspace
from training_runs import Trained, is_told, new_run, signalled_behind, train_here

RM: dict[str, Any] = {**SMALL_PAIRS, "stage": "rm"}
LEARNS: dict[str, Any] = {**RM, "max_steps": 60, "per_device_train_batch_size": 8, "eval_dataset": ("judged",)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_pair_workspace(tmp_path_factory.mktemp("workspace"), count=60)


@pytest.fixture(scope="module")
def learnt(workspace: Workspace) -> Trained:
    return train_here(workspace, "learnt", **LEARNS, eval_steps=20, plot_loss=True)


def judged(workspace: Workspace) -> list[list[list[Message]]]:
    """The conversations of the evaluation set, two of each pair, the better ones first."""
    found = []
    for row in json.loads((workspace.data / "judged.json").read_text()):
        asked = [message for said, answer in row["history"] for message in (Message("user", said), _answer(answer))]
        asked.append(Message("user", row["instruction"]))
        found.append([[*asked, _answer(text)] for text in row["output"]])
    return found


def _answer(text: str) -> Message:
    return Message("assistant", text)


# --- learning -----------------------------------------------------------------------------------------------------


def test_it_learns_to_tell_better_answers_of_other_pairs(learnt: Trained) -> None:
    learnt.finished()
    last = learnt.evaluations[-1]
    assert last.rows == 20
    assert last.metrics["accuracy"] >= 0.9
    assert last.metrics["margin"] == pytest.approx(last.metrics["chosen_reward"] - last.metrics["rejected_reward"])
    assert last.metrics["margin"] > learnt.evaluations[0].metrics["margin"]
    assert set(last.metrics) == {"loss", "accuracy", "margin", "chosen_reward", "rejected_reward"}


def test_the_head_begins_small_and_by_the_seed(workspace: Workspace, name: str, learnt: Trained) -> None:
    first = learnt.all(Step)[0]
    assert first.loss == pytest.approx(0.693, abs=0.3)
    assert 0 < abs(first.metrics["margin"]) < 1
    options = {**LEARNS, "max_steps": 1}
    same, other = train_here(workspace, name, **options), train_here(workspace, f"{name}-7", **options, seed=7)
    assert same.all(Step)[0].metrics == first.metrics != other.all(Step)[0].metrics


def test_the_predictions_are_those_of_the_evaluation_rows_in_full(learnt: Trained) -> None:
    scores = predictions(learnt)
    last = learnt.evaluations[-1].metrics
    assert len(scores) == 20
    assert sum(chosen > rejected for chosen, rejected in scores) / 20 == last["accuracy"]
    assert sum(chosen for chosen, _rejected in scores) / 20 == pytest.approx(last["chosen_reward"], abs=1e-5)
    assert any(len(repr(chosen)) > 8 for chosen, _rejected in scores)


def test_what_the_factory_leaves_is_left(learnt: Trained) -> None:
    assert (learnt.run.path / "training_accuracy.png").stat().st_size > 1000
    assert (learnt.run.path / "training_eval_accuracy.png").stat().st_size > 1000
    lines = learnt.log()
    first = learnt.all(Step)[0]
    assert (lines[0]["accuracy"], lines[0]["loss"]) == (first.metrics["accuracy"], first.loss)
    state = json.loads((learnt.run.path / "trainer_state.json").read_bytes())
    assert {"accuracy", "margin", "chosen_reward", "rejected_reward", "loss"} <= state["log_history"][0].keys()
    results = json.loads((learnt.run.path / "eval_results.json").read_bytes())
    assert results["eval_accuracy"] == learnt.evaluations[-1].metrics["accuracy"]
    head = load_file(learnt.run.path / "value_head.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in head.items()} == {
        "v_head.summary.weight": (1, 48),
        "v_head.summary.bias": (1,),
    }
    assert head["v_head.summary.weight"].dtype == torch.float32


# --- the same scores elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_evaluations_score_as_the_training_did(workspace: Workspace, learnt: Trained, method: str) -> None:
    run = (
        learnt
        if method == "lora"
        else train_here(workspace, method, **{**LEARNS, "max_steps": 4}, finetuning_type=method)
    )
    options = EvaluatedModelOptions(model_name_or_path=str(workspace.models / "tiny"), dtype="float32", device="cpu")
    model: Any = load_reward_model(find_reward_model(str(run.run.path), options, workspace), options)
    for pair, expected in zip(judged(workspace), predictions(run), strict=True):
        assert list(model.scores(pair)) == pytest.approx(expected, abs=2e-5)


def test_without_evaluation_rows_the_trained_ones_are_scored(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **RM, max_steps=1)
    assert len(predictions(trained)) == 60


def test_with_do_predict_what_the_scores_come_to_is_written_too(workspace: Workspace, name: str) -> None:
    trained = train_here(
        workspace, name, **{**LEARNS, "max_steps": 1, "do_predict": True}, per_device_eval_batch_size=8
    )
    scores = predictions(trained)
    found = json.loads((trained.run.path / "predict_results.json").read_bytes())
    assert found["predict_accuracy"] == sum(chosen > rejected for chosen, rejected in scores) / 20
    margins = [chosen - rejected for chosen, rejected in scores]
    assert found["predict_margin"] == pytest.approx(sum(margins) / 20)
    assert found["predict_loss"] == pytest.approx(trained.evaluations[-1].metrics["loss"], abs=1e-5)
    rates = found["predict_samples_per_second"] / found["predict_steps_per_second"]
    assert rates == pytest.approx(20 / 3, rel=0.05)
    every = json.loads((trained.run.path / "all_results.json").read_bytes())
    assert {"train_loss", "eval_accuracy", "predict_accuracy"} <= every.keys()
    assert not (workspace.runs / "learnt" / "predict_results.json").exists()


def test_dropout_touches_no_score(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **RM, max_steps=3, eval_steps=3, lora_dropout=0.5, eval_dataset=("judged",))
    (found,) = trained.evaluations
    scores = predictions(trained)
    margin = sum(chosen - rejected for chosen, rejected in scores) / len(scores)
    assert margin == pytest.approx(found.metrics["margin"], abs=1e-6)


# --- the method ---------------------------------------------------------------------------------------------------


def test_full_tuning_leaves_the_projection_to_words_alone(tmp_path: Path) -> None:
    workspace = make_pair_workspace(tmp_path, kind="qwen3", count=8)  # whose projection is a matrix of its own
    trained = train_here(workspace, "full", **RM, max_steps=2, finetuning_type="full", weight_decay=0.1)
    before = load_file(workspace.models / "tiny" / "model.safetensors")
    after = weights_of(trained)
    assert torch.equal(after["lm_head.weight"], before["lm_head.weight"])
    assert not torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])
    ready = trained.all(ModelReady)[0]
    assert ready.trainable == ready.parameters - before["lm_head.weight"].numel()


def test_a_reward_model_goes_on_with_its_head(workspace: Workspace, name: str, learnt: Trained) -> None:
    trained = train_here(workspace, name, **RM, max_steps=1, adapter_name_or_path=("learnt",))
    assert trained.all(Step)[0].metrics["accuracy"] > 0.9
    assert trained.all(Step)[0].loss < 0.3


@pytest.mark.parametrize("method", ["lora", "full"])
def test_eight_pairs_at_once_train_like_eight_times_one(workspace: Workspace, name: str, method: str) -> None:
    options = {**RM, "finetuning_type": method, "max_steps": 4, "weight_decay": 0.1}
    at_once = train_here(workspace, f"{name}-8x1", **{**options, "per_device_train_batch_size": 8})
    by_one = {**options, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    one_by_one = train_here(workspace, f"{name}-1x8", **by_one)
    assert one_by_one.losses == pytest.approx(at_once.losses, rel=2e-5)
    for quantity in ("accuracy", "margin", "chosen_reward"):
        assert told(one_by_one, quantity) == pytest.approx(told(at_once, quantity), rel=1e-3, abs=1e-5)


def test_the_most_accurate_model_is_the_best(workspace: Workspace, name: str) -> None:
    options = {**LEARNS, "max_steps": 6, "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    trained = train_here(workspace, name, **options, metric_for_best_model="margin", load_best_model_at_end=True)
    best = max(trained.evaluations, key=lambda one: one.metrics["margin"])
    scores = predictions(trained)
    margin = sum(chosen - rejected for chosen, rejected in scores) / len(scores)
    assert margin == pytest.approx(best.metrics["margin"], abs=1e-6)


def test_a_metric_that_rewards_do_not_have_is_refused(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **LEARNS, metric_for_best_model="perplexity")
    assert trained.failed().error == "metric_for_best_model: evaluations have no 'perplexity'"
    assert "margin" in trained.failed().hint


def test_a_checkpoint_has_its_head(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **RM, max_steps=2, save_strategy="steps", save_steps=1)
    head = load_file(trained.run.checkpoint(2) / "value_head.safetensors")
    assert torch.equal(head["v_head.summary.weight"], weights_of(trained)["v_head.summary.weight"])


@pytest.mark.parametrize(
    "options", [{"gradient_checkpointing": True}, {"bf16": True}, {"optim": "sgd", "max_grad_norm": 0.1}], ids=str
)
def test_the_options_of_every_stage_count(workspace: Workspace, name: str, options: dict[str, Any]) -> None:
    trained = train_here(workspace, name, **RM, max_steps=4, **options)
    plain = train_here(workspace, f"{name}-plain", **RM, max_steps=4)
    is_the_same = "gradient_checkpointing" in options
    assert (trained.losses == pytest.approx(plain.losses, rel=1e-5)) is is_the_same
    assert trained.losses[0] == pytest.approx(plain.losses[0], abs=0.02 if "bf16" in options else 1e-5)


def test_several_evaluation_sets_are_scored_apart(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **{**LEARNS, "eval_dataset": ("judged", "pairs")}, eval_steps=60)
    assert [(one.dataset, one.rows) for one in trained.evaluations] == [("judged", 20), ("pairs", 60)]
    lines = (trained.run.path / "generated_predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["dataset"] for line in lines] == ["judged"] * 20 + ["pairs"] * 60
    results = json.loads((trained.run.path / "eval_results.json").read_bytes())
    assert results["eval_judged_accuracy"] == trained.evaluations[0].metrics["accuracy"]


def test_a_stopped_run_scores_nothing(workspace: Workspace, name: str) -> None:
    run = new_run(workspace, name, {**RM, "max_steps": 50})
    assert signalled_behind(run, workspace, is_told(Step, 1), 15) == 0
    stopped = Trained(run, 0)
    assert stopped.finished().reason == "stopped"
    assert (run.path / "value_head.safetensors").is_file()
    assert not (run.path / "generated_predictions.jsonl").exists()
