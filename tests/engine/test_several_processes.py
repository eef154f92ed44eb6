"""Two processes train like one, over gloo."""

from __future__ import annotations

import pytest
from several import two_processes

from core.runs.events import ModelReady, Step
from core.workspace import Workspace
from training_runs import Trained, ended, killed_when, new_run, train_here

OPTIONS = {
    "max_steps": 7,
    "val_size": 6,
    "eval_steps": 3,
    "gradient_accumulation_steps": 1,
    "save_strategy": "steps",
    "save_steps": 2,
    "weight_decay": 0.01,
}


def test_two_processes_train_like_one_and_go_on_exactly(workspace: Workspace) -> None:
    alone = train_here(workspace, "alone", per_device_train_batch_size=4, **OPTIONS)
    run = new_run(workspace, "together", {**OPTIONS, "per_device_train_batch_size": 2})
    assert [ended(pid) for pid in two_processes(run.path, workspace)] == [0, 0]
    together = Trained(run, 0)
    assert together.all(ModelReady)[0].processes == 2
    assert together.losses == pytest.approx(alone.losses, rel=2e-5)
    assert [one.rows for one in together.all(Step)] == [one.rows for one in alone.all(Step)]
    for ours, theirs in zip(together.evaluations, alone.evaluations, strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, rel=2e-5)
    for name, weight in alone.weights().items():
        assert together.weights()[name] == pytest.approx(weight, rel=1e-3, abs=1e-5)

    whole = together.losses
    assert [ended(pid) for pid in two_processes(run.path, workspace, "step-000004")] == [0, 0]
    assert Trained(run, 0).losses[-3:] == whole[-3:]


def test_a_stop_reaches_both(workspace: Workspace) -> None:
    run = new_run(workspace, "stopped", {**OPTIONS, "per_device_train_batch_size": 2, "max_steps": 5000})
    first, second = two_processes(run.path, workspace)
    assert killed_when(second, lambda: run.checkpoint(2).is_dir(), 15) == 0
    assert ended(first) == 0
    assert Trained(run, 0).finished().reason == "stopped"
    assert run.saved_checkpoints()[-1] == run.checkpoint(Trained(run, 0).finished().step)
