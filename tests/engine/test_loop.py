"""The loop: what an update is made of changes nothing of it, and what happens between updates happens in time."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.control import Control
from core.engine.forward.choose import BatchLoss, Forward
from core.engine.training.judge import Judge, Standing
from core.engine.training.loop import Loop
from core.runs.events import (
    CheckpointSaved,
    DataReady,
    RunFinished,
    StageChanged,
    Step,
)
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from training_runs import train_here

# --- equivalence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "full", "freeze", "p_tuning"])
def test_eight_rows_at_once_train_like_eight_times_one(workspace: Workspace, name: str, method: str) -> None:
    options = {"finetuning_type": method, "max_steps": 5, "pre_seq_len": 4, "weight_decay": 0.1}
    at_once = train_here(workspace, f"{name}-8x1", per_device_train_batch_size=8, **options)
    one_by_one = train_here(
        workspace, f"{name}-1x8", per_device_train_batch_size=1, gradient_accumulation_steps=8, **options
    )
    assert at_once.finished().step == 5
    assert one_by_one.losses == pytest.approx(at_once.losses, rel=2e-5)
    norms = [[step.grad_norm for step in one.all(Step)] for one in (at_once, one_by_one)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_packed_rows_train_like_unpacked_ones(workspace: Workspace, name: str) -> None:
    options = {"max_samples": 8, "num_train_epochs": 4, "per_device_train_batch_size": 8, "cutoff_len": 200}
    apart = train_here(workspace, f"{name}-apart", **options)
    packed = train_here(workspace, f"{name}-packed", packing=True, **options)
    assert len(apart.losses) == len(packed.losses) == 4  # one update an epoch, of the same rows
    assert packed.losses == pytest.approx(apart.losses, rel=2e-5)
    assert [step.rows for step in packed.all(Step)] == [8, 16, 24, 32]


def test_the_last_update_of_an_epoch_takes_what_is_left(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, num_train_epochs=2, per_device_train_batch_size=16)
    assert [step.rows for step in trained.all(Step)] == [16, 26, 42, 52]
    assert [step.epoch for step in trained.all(Step)] == [0.5, 1.0, 1.5, 2.0]
    (ready,) = trained.all(DataReady)
    assert (ready.rows, ready.total_steps, ready.steps_per_epoch) == (26, 4, 2.0)


# --- memory -------------------------------------------------------------------------------------------------------


@pytest.fixture
def forward_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Forward, Any], BatchLoss | None]], None]:
    """Puts something before `Forward.loss`; None means: as ever."""
    real = Forward.loss

    def install(before: Callable[[Forward, Any], BatchLoss | None]) -> None:
        monkeypatch.setattr(Forward, "loss", lambda self, batch: before(self, batch) or real(self, batch))

    return install


def test_short_memory_halves_the_micro_batch_and_changes_nothing(
    workspace: Workspace, name: str, forward_that: Callable[..., None]
) -> None:
    options = {"max_steps": 4, "per_device_train_batch_size": 8, "lora_dropout": 0.0}
    plenty = train_here(workspace, f"{name}-plenty", **options)

    def short(_forward: Forward, batch: Any) -> None:
        if len(batch.rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    forward_that(short)
    little = train_here(workspace, f"{name}-little", **options)
    assert little.losses == pytest.approx(plenty.losses, rel=2e-5)
    assert little.warnings == [
        "cpu: out of memory; going on with micro-batches of 4",
        "cpu: out of memory; going on with micro-batches of 2",
    ]


def test_with_one_row_checkpointing_comes_next_and_then_the_end(
    workspace: Workspace, name: str, forward_that: Callable[..., None]
) -> None:
    made = []

    def never(forward: Forward, _batch: Any) -> None:
        made.append(forward)
        raise MemoryError

    forward_that(never)
    trained = train_here(workspace, name, max_steps=2, per_device_train_batch_size=2)
    assert trained.exit_code == 1
    assert trained.warnings[-1] == "cpu: out of memory with one row; going on with gradient checkpointing"
    assert trained.failed().error == "cpu: out of memory with one row and gradient checkpointing"
    assert "cutoff_len" in trained.failed().hint
    assert made[0] is not made[-1]


def test_on_an_accelerator_the_longest_batch_is_tried_first(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch, forward_that: Callable[..., None]
) -> None:
    options = {"max_steps": 2, "per_device_train_batch_size": 4, "lora_dropout": 0.3}
    plain = train_here(workspace, f"{name}-plain", **options)
    begin, seen = Loop._begin, list[int]()

    def with_a_trial(loop: Loop) -> None:
        begin(loop)
        room = loop.descent.room_to_move()
        assert room is not None
        assert room.nbytes == 8 * sum(one.numel() for one in loop.work.tunable.trained.values())  # Adam's two moments
        loop._try_longest()
        seen.append(-1)

    monkeypatch.setattr(Loop, "_begin", with_a_trial)
    forward_that(lambda _forward, batch: seen.append(sum(len(row.ids) for row in batch.rows)))
    trained = train_here(workspace, name, **options)
    assert seen[1] == -1
    assert all(tokens <= seen[0] for tokens in seen)
    assert any(stage.stage == "trying" for stage in trained.all(StageChanged))
    assert trained.losses == plain.losses  # it leaves no gradient, and takes no number from the generators


# --- nonsense -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "the loss is nan at step 1: the training has diverged"),
        (math.inf, "the loss is inf at step 1: the training has diverged"),
        (0.0, "the loss is exactly 0 at step 1: there is nothing left to learn"),
    ],
)
def test_a_loss_that_means_nothing_ends_the_run(
    workspace: Workspace, name: str, forward_that: Callable[..., None], value: float, told: str
) -> None:
    def nonsense(forward: Forward, batch: Any) -> BatchLoss:
        weight = next(parameter for parameter in forward.network.parameters() if parameter.requires_grad)
        return BatchLoss(weight.sum() * 0 + value, batch.targets, 0)

    forward_that(nonsense)
    trained = train_here(workspace, name, max_steps=3)
    assert (trained.failed().error, trained.exit_code) == (told, 1)
    assert trained.failed().hint.endswith("no checkpoint is saved yet")
    assert not trained.all(Step)


@pytest.mark.parametrize(("value", "saved"), [(0.0, [1, 2]), (math.nan, [1])])
def test_what_was_learnt_before_nonsense_is_saved_where_it_is_good_or_nothing_else_is(
    workspace: Workspace,
    name: str,
    forward_that: Callable[..., None],
    wishing: Callable[..., Control],
    value: float,
    saved: list[int],
) -> None:
    calls = []

    def nonsense(forward: Forward, batch: Any) -> BatchLoss | None:
        calls.append(batch)
        if len(calls) % 3:
            return None
        weight = next(parameter for parameter in forward.network.parameters() if parameter.requires_grad)
        return BatchLoss(weight.sum() * 0 + value, batch.targets, 0)

    forward_that(nonsense)
    bare = train_here(workspace, name, max_steps=4)
    assert [path.name for path in bare.run.saved_checkpoints()] == ["step-000002"]
    assert bare.failed().hint.endswith("the last checkpoint is step-000002")
    calls.clear()
    control = wishing(f"{name}-kept", save=1)
    kept = train_here(workspace, f"{name}-kept", max_steps=4, control=control)
    assert [path.name for path in kept.run.saved_checkpoints()] == [f"step-{step:06d}" for step in saved]
    assert kept.failed().hint.endswith(f"the last checkpoint is step-{saved[-1]:06d}")


def test_no_memory_for_the_optimiser_is_told_as_that(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    failed = train_here(workspace, name, max_steps=2).failed()
    assert failed.error.startswith("cpu: no memory is left for what adamw_torch remembers of ")
    assert failed.hint.endswith("adafactor or sgd, or train less of the model (lora); no checkpoint is saved yet")


def test_results_that_cannot_be_written_fail_no_run_whose_model_is_saved(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("core.engine.training.finish.write_plots", full)
    monkeypatch.setattr("core.engine.training.factory_files.write_json", full)
    trained = train_here(workspace, name, max_steps=1, plot_loss=True)
    assert trained.finished().reason == "completed"
    assert trained.finished().metrics["train_samples"] == 26
    assert trained.warnings == ["not all results can be written: [Errno 28] No space left on device"] * 2
    assert trained.weights()


def test_a_learning_rate_of_seed_004_in_the_extreme_is_caught(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, finetuning_type="full", learning_rate=1e30, max_steps=10, max_grad_norm=0)
    assert "the training has diverged" in trained.failed().error
    assert "lower learning_rate (1e+30 now)" in trained.failed().hint


# --- wishes -------------------------------------------------------------------------------------------------------


class Wisher(Control):
    """Has wishes come at some steps."""

    def __init__(self, *args: Any, wishes: dict[int, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._wishes, self._looks = wishes, -1  # the first look is before the first update

    def look(self) -> Any:
        self._looks += 1
        if self._looks in self._wishes:
            self._run.wish(self._wishes[self._looks])  # type: ignore[arg-type]
        return super().look()


@pytest.fixture
def wishing(workspace: Workspace) -> Callable[..., Control]:
    return lambda name, **wishes: Wisher(
        RunDirectory(workspace.runs / name), wishes={step: what for what, step in wishes.items()}
    )


def test_wishes_are_granted_after_the_step_and_a_stop_saves(
    workspace: Workspace, name: str, wishing: Callable[..., Control]
) -> None:
    control = wishing(name, save=2, evaluate=3, stop=5)
    trained = train_here(workspace, name, control=control, val_size=4, num_train_epochs=9, logging_steps=4)
    assert trained.finished() == RunFinished(trained.finished().time, "stopped", 5, metrics=trained.finished().metrics)
    assert [one.path for one in trained.all(CheckpointSaved)] == [
        "checkpoints/step-000002",
        "checkpoints/step-000005",
        ".",
    ]
    assert [one.step for one in trained.evaluations] == [3]
    assert [one.step for one in trained.all(Step)] == [4, 5]  # what came after the last point is told too
    assert not list(trained.run.control.iterdir())
    assert (trained.run.path / "adapter_model.safetensors").is_file()
    assert trained.finished().metrics["train_samples_per_second"] > 0


def test_a_stop_before_the_first_update_trains_nothing(
    workspace: Workspace, name: str, wishing: Callable[..., Control]
) -> None:
    trained = train_here(workspace, name, control=wishing(name, stop=0), max_steps=3)
    assert (trained.finished().reason, trained.finished().step) == ("stopped", 0)
    assert not list(trained.run.control.iterdir())
    assert not (trained.run.path / "adapter_model.safetensors").exists()


def test_a_defect_is_told_with_its_trace(workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.training.setup.build_optimizer", lambda *_: 1 / 0)
    failed = train_here(workspace, name, max_steps=1).failed()
    assert failed.error == "ZeroDivisionError: division by zero"
    assert failed.log.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "defect" in failed.hint


def test_a_model_that_does_not_fit_is_not_blamed_on_the_batch(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_arguments: Any, **_options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("core.engine.training.setup.load_for_training", too_large)
    failed = train_here(workspace, name, max_steps=1).failed()
    assert failed.error.startswith("out of memory: CUDA out of memory")
    assert failed.hint.startswith("the model alone is too large here: ")


def test_a_missing_model_is_told_without_one(workspace: Workspace, name: str, tmp_path: Path) -> None:
    failed = train_here(workspace, name, model_name_or_path=str(tmp_path / "none")).failed()
    assert failed.error.startswith("no model ")
    assert failed.log == ""


def test_looking_in_between_uses_up_no_patience(
    workspace: Workspace, name: str, wishing: Callable[..., Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_better(judge: Judge, standing: Standing, step: int, _metrics: Any) -> Standing:
        return Standing(1, 0.0, standing.since + 1)

    monkeypatch.setattr(Judge, "look", never_better)
    options = {"val_size": 4, "max_steps": 6, "eval_steps": 4, "early_stopping_steps": 2}
    control = Wisher(RunDirectory(workspace.runs / name), wishes=dict.fromkeys((1, 2, 3), "evaluate"))
    trained = train_here(workspace, name, control=control, **options)
    assert [one.step for one in trained.evaluations] == [1, 2, 3, 4, 6]
    assert trained.finished().reason == "completed"


def test_a_stop_before_a_resumed_run_goes_on_tells_where_it_stands(
    workspace: Workspace, name: str, wishing: Callable[..., Control]
) -> None:
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    train_here(workspace, name, control=wishing(name, stop=2), **options)
    again = train_here(workspace, name, control=wishing(name, stop=0), resume_from_checkpoint="true", **options)
    assert (again.finished().reason, again.finished().step) == ("stopped", 2)
