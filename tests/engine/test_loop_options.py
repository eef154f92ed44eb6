"""Options of a training: what changes its numbers, and what only its speed and its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from core.engine.forward.choose import Forward
from core.errors import DataError
from core.runs.events import (
    CheckpointSaved,
    DataReady,
    Step,
)
from core.workspace import Workspace
from training_runs import train_here


@pytest.fixture(scope="module")
def plain_losses(workspace: Workspace) -> list[float]:
    return train_here(workspace, "plain", max_steps=3, max_grad_norm=1e6).losses


def test_the_learning_rate_rises_and_falls_as_transformers_has_it(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, max_steps=6, warmup_ratio=0.3, learning_rate=1e-3)
    rates = [step.learning_rate for step in trained.all(Step)]
    assert rates == pytest.approx([0.0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4])


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "sgd", "adafactor"])
def test_every_optimiser_learns(workspace: Workspace, name: str, optim: str) -> None:
    rate = 0.5 if optim == "sgd" else 5e-3
    trained = train_here(workspace, name, max_steps=8, optim=optim, learning_rate=rate)
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.parametrize(
    "option",
    [
        {"gradient_checkpointing": "true"},
        {"dataloader_num_workers": 2},
        {"max_grad_norm": 1e6},
        {"max_grad_norm": 0},
        {"loraplus_lr_ratio": 1.0},
        {"logging_steps": 1, "data_seed": 42},
    ],
)
def test_what_changes_nothing_of_the_numbers(
    workspace: Workspace, plain_losses: list[float], name: str, option: dict[str, Any]
) -> None:
    trained = train_here(workspace, name, **{"max_steps": 3, "max_grad_norm": 1e6, **option})
    assert trained.losses == pytest.approx(plain_losses, rel=1e-6)


@pytest.mark.parametrize(
    "option",
    [
        {"seed": 7},
        {"data_seed": 7},
        {"shuffle": False},
        {"label_smoothing_factor": 0.1},
        {"neftune_noise_alpha": 5.0},
        {"lora_dropout": 0.2},
        {"max_grad_norm": 0.5},
        {"loraplus_lr_ratio": 16.0},
        {"weight_decay": 5.0},
        {"adam_beta2": 0.9},
        {"pure_bf16": True},
        {"use_rslora": True},
        {"train_on_prompt": True},
    ],
)
def test_what_changes_the_numbers(
    workspace: Workspace, plain_losses: list[float], name: str, option: dict[str, Any]
) -> None:
    options = {"max_steps": 3, "max_grad_norm": 1e6, **option}
    trained = train_here(workspace, name, **options)
    assert trained.finished().step == 3
    assert trained.losses != plain_losses
    if option.keys() & {"lora_dropout", "neftune_noise_alpha"}:  # the same seed draws the same again
        assert train_here(workspace, f"{name}-again", **options).losses == trained.losses


@pytest.mark.parametrize(
    ("choice", "threads", "steps", "compiled"),
    [("auto", 1, 9, False), ("auto", 1, 10**9, True), ("auto", 2, 10**9, False), ("true", 2, 9, True)],
)
def test_layers_are_compiled_where_it_pays(
    workspace: Workspace,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    threads: int,
    steps: int,
    compiled: bool,
) -> None:
    asked = []

    def seen(*_: Any, compile: bool, **__: Any) -> Forward:
        asked.append(compile)
        raise DataError("enough")

    monkeypatch.setattr("core.engine.training.setup.choose_forward", seen)
    train_here(workspace, name, torch_compile=choice, threads=threads, max_steps=steps)
    assert asked == [compiled]


def test_eight_bit_adam_trains_or_tells_what_it_needs(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, max_steps=4, optim="adamw_8bit")
    assert trained.finished().step == 4
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_checkpoints_come_when_they_are_due(workspace: Workspace, name: str, strategy: str) -> None:
    trained = train_here(
        workspace,
        name,
        num_train_epochs=2,
        per_device_train_batch_size=9,
        save_strategy=strategy,
        save_steps=4,
        save_only_model=True,
    )
    due = {"epoch": [3, 6], "steps": [4]}[strategy]
    assert [one.step for one in trained.all(CheckpointSaved)] == [*due, 6]
    assert not list(trained.run.checkpoints.glob("*/trainer"))
    assert trained.all(CheckpointSaved)[0].bytes > 10_000


def test_long_rows_are_told_of(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, cutoff_len=60, max_steps=1)
    (ready,) = trained.all(DataReady)
    assert ready.cut_rows > 0
    (warning,) = trained.warnings
    assert warning.startswith(f"{ready.cut_rows} rows are too long and are cut: ")


def test_fp16_without_a_gpu_is_float32_with_a_warning_or_refused(workspace: Workspace, name: str) -> None:
    plain = train_here(workspace, f"{name}-plain", max_steps=2)
    trained = train_here(workspace, name, max_steps=2, fp16=True)
    assert trained.warnings == ["fp16 needs a GPU: dtype decides what is computed in"]
    assert trained.losses == plain.losses
    assert train_here(workspace, f"{name}-strict", max_steps=2, fp16=True, strict=True).failed().error == (
        "fp16 needs a GPU"
    )


def test_bf16_computes_in_it_and_keeps_float32(workspace: Workspace, name: str) -> None:
    plain = train_here(workspace, f"{name}-plain", max_steps=3)
    trained = train_here(workspace, name, max_steps=3, bf16=True)
    assert trained.losses == pytest.approx(plain.losses, rel=0.02)
    assert trained.losses != plain.losses
    assert {weight.dtype for weight in trained.weights().values()} == {torch.float32}


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
