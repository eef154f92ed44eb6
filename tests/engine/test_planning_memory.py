"""What a plan says of memory and disk, and what a dry step measures of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings, load
from core.config.training import TRAINING
from core.engine.planning import dry
from core.engine.planning import memory as memory_plan
from core.engine.planning.anatomy import read_anatomy
from core.engine.planning.draft import Draft
from core.engine.planning.dry import dry_step
from core.engine.planning.memory import Place, Size, estimate_memory, is_short, needs_checkpointing
from core.engine.planning.trainable import trainable_parameters
from core.hardware import Accelerator, Memory
from core.workspace import Workspace
from drafts import GIB, drafts_of, few_rows


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return few_rows(tmp_path)


@pytest.fixture
def planned(workspace: Workspace, model_folder: Callable[[str], Path]) -> Callable[..., Draft]:
    return drafts_of(workspace, model_folder("llama"))


# --- memory and disk ----------------------------------------------------------------------------------------------


def settings(**options: Any) -> Settings:
    return load(TRAINING, values={"dataset": "few", **options})


def estimate(folder: Path, size: Size, place: Place, **options: Any) -> Any:
    chosen, anatomy = settings(**options), read_anatomy(folder)
    trainable = trainable_parameters(anatomy, chosen[FinetuningOptions])
    return estimate_memory(chosen, anatomy, trainable, size, place)


CPU = Place("cpu", "cpu", 16 * GIB)
CUDA = Place("cuda", "GPU", 16 * GIB)
SIZE = Size(tokens=1000, targets=100)


def test_memory_goes_with_batch_method_and_number_format(model_folder: Callable[[str], Path]) -> None:
    folder = model_folder("qwen3")
    parameters = read_anatomy(folder).parameters
    plain = estimate(folder, SIZE, CPU)
    assert plain.weights > 4 * parameters
    assert plain.optimizer == 2 * plain.gradients
    assert estimate(folder, Size(2000, 100), CPU).activations == 2 * plain.activations
    assert estimate(folder, Size(1000, 200), CPU).logits == 2 * plain.logits
    full = estimate(folder, SIZE, CPU, finetuning_type="full")
    assert (full.weights, full.gradients, full.optimizer) == (4 * parameters, 4 * parameters, 8 * parameters)
    assert estimate(folder, SIZE, CPU, finetuning_type="full", optim="sgd").optimizer == 0
    last = estimate(folder, SIZE, CPU, finetuning_type="freeze", freeze_trainable_layers=1)
    first = estimate(folder, SIZE, CPU, finetuning_type="freeze", freeze_trainable_layers=-1)
    assert last.activations < 0.6 * first.activations == 0.6 * plain.activations
    half = estimate(folder, SIZE, CUDA, bf16=True)
    assert half.activations == plain.activations // 2
    assert half.weights < 0.6 * plain.weights
    assert estimate(folder, SIZE, CUDA, quantization_bit=4).weights < half.weights
    assert plain.checkpointed_total < plain.total


def test_checkpointing_is_switched_on_by_the_estimate_alone(
    planned: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned()
    plenty = made.memory
    arguments = (made.settings, made.model.path, made.updates, made.rows.projected, "cpu")
    for free, expected in ((plenty.total * 2, False), (plenty.total, True), (0, False)):
        monkeypatch.setattr(memory_plan, "memory", lambda free=free: Memory(free, free))
        assert needs_checkpointing(*arguments) is expected
        again = planned()
        assert (again.plan.gradient_checkpointing, is_short(again.memory)) == (expected, expected)
        assert planned(gradient_checkpointing="true").plan.gradient_checkpointing
        assert not planned(gradient_checkpointing="false").plan.gradient_checkpointing
    assert not needs_checkpointing(*arguments[:-1])


def test_memory_is_that_of_the_device_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = (Accelerator(0, "A", "cuda", GIB, 1), Accelerator(1, "B", "cuda", GIB, 2))
    monkeypatch.setattr(memory_plan, "accelerators", lambda: devices)
    assert memory_plan.place_of(settings()) == Place("cuda", "A", 1)
    assert memory_plan.place_of(settings(device="cuda:1")) == Place("cuda", "B", 2)
    monkeypatch.setattr(memory_plan, "memory", lambda: Memory(100, 90))
    assert memory_plan.place_of(settings(device="cpu", nproc_per_node=3)) == Place("cpu", "cpu", 30)


def test_disk_holds_the_checkpoints_that_are_kept(planned: Callable[..., Draft]) -> None:
    options = {"per_device_train_batch_size": 1, "num_train_epochs": 1, "save_steps": 6}
    disk = planned(**options).plan.disk
    plan = planned(**options, save_total_limit=2).plan
    assert plan.checkpoints == 4
    assert disk.checkpoint == plan.trainable * 16  # weights twice, and Adam's two moments
    assert disk.total - plan.disk.total == 2 * disk.checkpoint
    assert planned(**options, save_only_model=True).plan.disk.checkpoint == plan.trainable * 4


# --- the dry step --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"finetuning_type": "p_tuning", "pre_seq_len": 4}])
def test_a_dry_step_measures_the_longest_batch(planned: Callable[..., Draft], options: dict[str, Any]) -> None:
    made = planned(per_device_train_batch_size=4, device="cpu", **options)
    found = dry_step(made)
    assert found.tokens == int(np.sort(made.updates.lengths)[-4:].sum())
    assert found.trainable == made.plan.trainable
    assert found.micro_batch == 4
    assert found.seconds > 0
    assert found.estimated_seconds > found.seconds
    assert found.peak_memory > GIB // 8


def test_the_estimate_holds_evaluations_and_probes(
    planned: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()  # a second passes between any two looks at it
    monkeypatch.setattr(dry, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    options = {"device": "cpu", "num_train_epochs": 2, "per_device_train_batch_size": 4}
    bare = dry_step(planned(**options, probe_max_new_tokens=0))
    made = planned(**options, probe_max_new_tokens=8, probe_prompt=["?", "!"], eval_dataset="test.jsonl", eval_steps=5)
    updates = made.updates.lengths.sum() * 2 / bare.tokens + 12
    assert (bare.seconds, bare.estimated_seconds) == (2, pytest.approx(updates))
    assert (made.plan.evaluations, made.counts.looks, made.eval_rows) == (3, 4, 5)
    probes = 4 * 2 * 8 / 4  # four times both, of twice as many tokens as were measured
    assert dry_step(made).estimated_seconds == pytest.approx(updates + 3 * made.eval_tokens / bare.tokens + probes)


def test_a_dry_step_halves_the_batch_when_memory_is_short(
    planned: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.engine.forward.choose import Forward

    real = Forward.loss

    def loss(self: Forward, batch: Any) -> Any:
        if len(batch.rows) > 2:
            raise RuntimeError("not enough memory: you tried to allocate")
        return real(self, batch)

    monkeypatch.setattr(Forward, "loss", loss)
    assert dry_step(planned(per_device_train_batch_size=8)).micro_batch == 2
