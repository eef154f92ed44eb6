"""Stages rm and dpo, killed or shared among processes: as if nothing had been."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from preference_runs import SMALL_PAIRS, make_pair_workspace, predictions, weights_of
from several import two_processes

from core.engine.train import main
from core.runs.events import CheckpointSaved, Step
from core.workspace import Workspace
from training_runs import Trained, ended, forked, is_told, new_run, signalled_behind, train_here

STAGES: dict[str, dict[str, Any]] = {
    "rm": {"stage": "rm", "lora_dropout": 0.1},
    "rm-full": {"stage": "rm", "finetuning_type": "full"},
    "dpo": {"stage": "dpo", "lora_dropout": 0.1, "pref_ftx": 0.1},
}
OPTIONS: dict[str, Any] = {
    **SMALL_PAIRS,
    "max_steps": 7,
    "eval_dataset": ("judged",),
    "eval_steps": 3,
    "save_strategy": "steps",
    "save_steps": 2,
    "logging_steps": 2,
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.01,
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_pair_workspace(tmp_path_factory.mktemp("workspace"))


def curve(trained: Trained) -> dict[int, tuple[object, ...]]:
    """The points by step, all numbers of a stage among them: of two the later one counts."""
    return {one.step: (one.loss, one.grad_norm, one.rows, one.tokens, dict(one.metrics)) for one in trained.all(Step)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_goes_on_exactly(workspace: Workspace, name: str, stage: str) -> None:
    options = {**OPTIONS, **STAGES[stage]}
    whole = train_here(workspace, f"{name}-whole", **options)
    run = new_run(workspace, name, options)
    environment = {"FINETUI_WORKSPACE": str(workspace.root)}
    assert signalled_behind(run, workspace, is_told(CheckpointSaved, 4)) == -9
    assert ended(forked(lambda: main([str(run.path), "--resume", "step-000004"]), environment)) == 0
    trained = Trained(run, 0)
    assert curve(trained) == curve(whole)
    assert {one.step: dict(one.metrics) for one in trained.evaluations} == {
        one.step: dict(one.metrics) for one in whole.evaluations
    }
    ours, theirs = weights_of(trained), weights_of(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    if stage.startswith("rm"):
        assert predictions(trained) == predictions(whole)


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_like_one(workspace: Workspace, name: str, stage: str) -> None:
    options = {**OPTIONS, **STAGES[stage], "lora_dropout": 0.0, "max_steps": 7, "num_train_epochs": 1}
    alone = train_here(workspace, f"{name}-alone", **options)
    run = new_run(workspace, name, {**options, "per_device_train_batch_size": 2})
    assert [ended(pid) for pid in two_processes(run.path, workspace)] == [0, 0]
    together = Trained(run, 0)
    assert together.losses == pytest.approx(alone.losses, rel=2e-5)
    numbers = [[dict(one.metrics) for one in (*run.all(Step), *run.evaluations)] for run in (together, alone)]
    for ours, theirs in zip(*numbers, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    for key, weight in weights_of(alone).items():
        assert weights_of(together)[key] == pytest.approx(weight, rel=1e-3, abs=2e-5)
    if stage.startswith("rm"):
        assert sum(predictions(together), ()) == pytest.approx(sum(predictions(alone), ()), abs=1e-4)
