"""A run that was stopped, killed or starved of disk goes on as if nothing had been.

Equal means equal: the losses to the last bit, the weights byte by byte, the logs line by line.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.train import main
from core.engine.training import checkpoint
from core.engine.training.shelf import Shelf
from core.runs.events import CheckpointSaved, ModelReady, Step
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from training_runs import Trained, ended, forked, is_told, new_run, signalled_behind, train_here

STEPS = 9
OPTIONS: dict[str, Any] = {
    "max_steps": STEPS,
    "lora_dropout": 0.1,
    "val_size": 4,
    "eval_steps": 3,
    "save_strategy": "steps",
    "save_steps": 2,
    "logging_steps": 3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 2,
    "weight_decay": 0.01,
}


@pytest.fixture(scope="module")
def whole(workspace: Workspace) -> Trained:
    """The run that nothing happened to."""
    return train_here(workspace, "whole", **OPTIONS)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace("[", "-").replace("]", "")


def curve(trained: Trained) -> dict[int, tuple[float, ...]]:
    """The points by step: of two the later one counts."""
    return {
        one.step: (one.loss, one.grad_norm, one.learning_rate, one.epoch, one.rows, one.tokens)
        for one in trained.all(Step)
    }


def evaluations(trained: Trained) -> dict[int, dict[str, float]]:
    return {one.step: dict(one.metrics) for one in trained.evaluations}


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("elapsed_time", "remaining_time", "throughput")}


def assert_same(trained: Trained, whole: Trained) -> None:
    assert curve(trained) == curve(whole)
    assert evaluations(trained) == evaluations(whole)
    assert [without_times(line) for line in trained.log()] == [without_times(line) for line in whole.log()]
    ours, theirs = trained.weights(), whole.weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def in_its_own_process(run: RunDirectory, workspace: Workspace, resume: str = "") -> int:
    environment = {"FINETUI_WORKSPACE": str(workspace.root)}
    arguments = [str(run.path), *(["--resume", resume] if resume else [])]
    return forked(lambda: main(arguments), environment)


METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "full": {"finetuning_type": "full", "lora_dropout": 0.0, "optim": "adafactor"},
    "freeze": {"finetuning_type": "freeze", "freeze_trainable_layers": 1, "lora_dropout": 0.0},
    "p_tuning": {"finetuning_type": "p_tuning", "pre_seq_len": 4, "prefix_projection": True, "lora_dropout": 0.0},
    "packed": {"packing": True, "cutoff_len": 160, "per_device_train_batch_size": 2},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_goes_on_exactly(workspace: Workspace, name: str, method: str) -> None:
    options = {**OPTIONS, **METHODS[method], "save_steps": 4}
    whole = train_here(workspace, f"{name}-whole", **options)
    broken = new_run(workspace, name, options)
    shutil.copytree(whole.run.checkpoint(4), broken.checkpoint(4))
    shutil.copy(whole.run.path / "trainer_log.jsonl", broken.path)  # with lines of a future that will not come
    trained = train_here(workspace, name, resume="step-000004")
    assert min(curve(trained)) == 6
    assert {step: point for step, point in curve(whole).items() if step > 4} == curve(trained)
    assert [without_times(line) for line in trained.log()] == [without_times(line) for line in whole.log()]
    ours, theirs = trained.weights(), whole.weights()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    histories = [
        json.loads((one.run.path / "trainer_state.json").read_bytes())["log_history"] for one in (trained, whole)
    ]
    steps = [[row["step"] for row in history] for history in histories]
    assert steps[0] == steps[1]
    assert (
        trained.all(Step)[-1].elapsed
        > json.loads((broken.checkpoint(4) / "trainer" / "state.json").read_bytes())["progress"]["elapsed"]
    )


def test_weights_keep_the_format_that_the_checkpoint_was_trained_with(workspace: Workspace, name: str) -> None:
    """A CPU with other units would choose another one for a run that begins."""
    options = {**OPTIONS, "max_steps": 3, "save_steps": 2}
    whole = train_here(workspace, f"{name}-whole", **options)
    assert whole.all(ModelReady)[-1].dtype == "float32"
    broken = new_run(workspace, name, options)
    shutil.copytree(whole.run.checkpoint(2), broken.checkpoint(2))
    state = broken.checkpoint(2) / "trainer" / "state.json"
    record = json.loads(state.read_bytes())
    record["effective"]["dtype"] = "bfloat16"
    state.write_text(json.dumps(record))
    assert train_here(workspace, name, resume="step-000002").all(ModelReady)[-1].dtype == "bfloat16"


def test_what_is_killed_at_any_moment_goes_on_exactly(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, OPTIONS)
    seen, last = is_told(CheckpointSaved, random.choice((2, 4, 6))), is_told(Step, STEPS)
    assert signalled_behind(run, workspace, seen, waits=last) == -signal.SIGKILL
    assert ended(in_its_own_process(run, workspace, "true")) == 0
    assert_same(Trained(run, 0), whole)


def test_sigterm_saves_and_what_was_stopped_goes_on_exactly(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, OPTIONS)
    assert signalled_behind(run, workspace, is_told(CheckpointSaved, 2), signal.SIGTERM) == 0
    stopped = Trained(run, 0)
    assert stopped.finished().reason == "stopped"
    last = stopped.finished().step
    assert stopped.all(CheckpointSaved)[-2].path == f"checkpoints/step-{last:06d}"
    assert stopped.weights()
    assert stopped.log()[-1]["current_steps"] == last
    assert ended(in_its_own_process(run, workspace, "true")) == 0
    resumed = Trained(run, 0)
    assert resumed.finished().reason == "completed"
    ours, theirs = resumed.weights(), whole.weights()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert resumed.losses[-1] == whole.losses[-1]


def test_killed_while_a_checkpoint_is_written_the_one_before_counts(
    workspace: Workspace, whole: Trained, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(workspace, name, OPTIONS)
    real = checkpoint.write_trainer

    def torn(folder: Path, *rest: Any) -> None:
        real(folder, *rest)
        if "000004" in folder.name:
            (folder / "trainer" / "optimizer.pt").write_bytes(b"half of i")
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr("core.engine.training.shelf.write_trainer", torn)
        assert ended(in_its_own_process(run, workspace)) == -signal.SIGKILL
    assert [path.name for path in run.saved_checkpoints()] == ["step-000002"]
    assert {path.name for path in run.checkpoints.iterdir()} == {".unfinished-step-000004", "step-000002"}
    assert ended(in_its_own_process(run, workspace, "true")) == 0
    assert_same(Trained(run, 0), whole)
    assert not list(run.checkpoints.glob(".unfinished*"))


def test_a_checkpoint_that_is_replaced_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = []
    real = shutil.rmtree

    def remove(path: Path, **options: Any) -> None:
        removed.append(Path(path).name)
        real(path, **options)

    monkeypatch.setattr("core.engine.training.checkpoint.shutil.rmtree", remove)
    for text in ("one", "two"):
        checkpoint.write_whole(tmp_path / "step-000002", lambda folder, text=text: (folder / "a").write_text(text))
    assert (tmp_path / "step-000002" / "a").read_text() == "two"
    assert all(name.startswith(".unfinished-") for name in removed)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


# --- disks --------------------------------------------------------------------------------------------------------


def test_a_disk_that_takes_no_more_costs_a_checkpoint_not_the_run(
    workspace: Workspace, whole: Trained, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(workspace, name, OPTIONS)
    real = Shelf.save

    def limited(self: Shelf, progress: Any, effective: Any) -> bool:
        """From step 4 on no file may be longer than 70 kB: the optimiser's is."""
        if progress.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, resource.RLIM_INFINITY))
        return real(self, progress, effective)

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "save", limited)
        assert ended(in_its_own_process(run, workspace)) == 0
    trained = Trained(run, 0)
    assert trained.finished().step == STEPS
    assert curve(trained) == curve(whole)
    assert [path.name for path in run.saved_checkpoints()] == ["step-000002"]
    assert len(trained.warnings) == 4  # at 4, 6, 8, 9
    assert "step-000004 cannot be written: " in trained.warnings[0]
    assert not list(run.checkpoints.glob(".unfinished*"))
    assert ended(in_its_own_process(run, workspace, "true")) == 0  # with room again
    assert_same(Trained(run, 0), whole)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here; the test above has a full disk by a limit on files")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_no_finished_checkpoint(workspace: Workspace, name: str) -> None:
    run = new_run(workspace, name, {**OPTIONS, "save_steps": 1})
    config = run.config.read_bytes()
    with small_disk(run.path, "1100k"):
        run.config.write_bytes(config)
        code = ended(in_its_own_process(run, workspace))
        saved = run.saved_checkpoints()
        assert 2 <= len(saved) < STEPS
        for folder in saved:  # whole, every one
            assert checkpoint.read_state(folder).progress.step == int(folder.name[-6:])
            assert checkpoint.read_tensors(folder).optimizer["optimizer"]["state"]
            assert checkpoint.read_weights(folder)
        assert not list(run.checkpoints.glob(".unfinished*"))
        trained = Trained(run, code)
        told = [*trained.warnings, trained.failed().error if code else ""]
        assert any("cannot be written: " in one and "No space left on device" in one for one in told), told
        if code:
            assert "No space left on device" in trained.failed().error
            assert "make room" in trained.failed().hint


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_trained_a_step_further(workspace: Workspace, whole: Trained) -> None:
    steps, weights = len(whole.losses), whole.weights()
    again = train_here(workspace, "whole", resume="true")
    assert again.finished().step == STEPS
    assert again.warnings[-1] == f"there is nothing left to train: all {STEPS} steps are done"
    assert len(again.losses) == steps
    assert all(torch.equal(weights[key], again.weights()[key]) for key in weights)
    assert again.finished().metrics["train_loss"] == whole.finished().metrics["train_loss"]
    assert len(again.all(ModelReady)) == 1  # nor was the model loaded


def test_other_data_are_refused(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, {**OPTIONS, "max_samples": 20})
    shutil.copytree(whole.run.checkpoint(4), run.checkpoint(4))
    failed = train_here(workspace, name, resume="true").failed()
    assert "was trained on other data: 22 rows" in failed.error
    assert "now 16" in failed.error


def test_another_portion_is_refused(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, {**OPTIONS, "per_device_train_batch_size": 2})
    shutil.copytree(whole.run.checkpoint(4), run.checkpoint(4))
    failed = train_here(workspace, name, resume="4").failed()
    assert failed.error.endswith("was trained with 4 rows an update, now it would be 2")


def test_another_rank_is_refused(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, {**OPTIONS, "lora_rank": 4})
    shutil.copytree(whole.run.checkpoint(4), run.checkpoint(4))
    assert "the stored state is of another training" in train_here(workspace, name, resume="4").failed().error


def test_a_checkpoint_that_is_not_there_is_named(workspace: Workspace, whole: Trained) -> None:
    failed = train_here(workspace, "whole", resume="step-000777").failed()
    assert failed.error.endswith("has no checkpoint 'step-000777'")
    assert failed.hint == "step-000002, step-000004, step-000006, step-000008, step-000009"


def test_the_checkpoint_decides_what_the_last_bits_depend_on(workspace: Workspace, whole: Trained, name: str) -> None:
    run = new_run(workspace, name, {**OPTIONS, "threads": 2})
    shutil.copytree(whole.run.checkpoint(8), run.checkpoint(8))
    trained = train_here(workspace, name, resume="true")
    (ready,) = trained.all(ModelReady)
    assert ready.threads == 1
    assert trained.losses[-1] == whole.losses[-1]
