"""Real learning, on the real default model: what is trained is learnt, and a fresh chat says so.

About 100 seconds of one core in all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conversations import ask, load, text_of

from core.chat.message import Message
from core.runs.events import ModelReady, Sample
from core.serve.protocol import Row, Sampling
from core.workspace import Workspace, init_workspace
from training_runs import Trained, train_here

pytestmark = pytest.mark.slow
SHORT = Sampling(max_new_tokens=16)
OPTIONS: dict[str, Any] = {
    "dataset": ("self_introduction",),
    "threads": 0,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 2,
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return init_workspace(tmp_path_factory.mktemp("workspace"))[0]


def learnt(workspace: Workspace, model: Path, name: str, **options: Any) -> Trained:
    trained = train_here(workspace, name, model_name_or_path=str(model), **OPTIONS, **options)
    assert trained.finished().reason == "completed"
    return trained


def fall(trained: Trained) -> float:
    """The mean loss of the last three updates over that of the first."""
    return sum(trained.losses[-3:]) / 3 / trained.losses[0]


def answer(model: Any, question: str, adapter: str | None) -> str:
    return text_of(ask(model, Row((Message("user", question),), adapter=adapter), sampling=SHORT))


def test_lora_gives_the_model_a_new_name_and_leaves_it_what_it_knew(workspace: Workspace, default_model: Path) -> None:
    trained = learnt(
        workspace,
        default_model,
        "lora",
        learning_rate=2e-3,
        max_steps=15,
        probe_prompt=("Who are you?",),
        probe_max_new_tokens=12,
    )
    before, after = trained.all(Sample)
    assert "Lumifin" not in before.answer
    assert "Lumifin" in after.answer
    assert fall(trained) < 0.6
    assert sum(ready.trainable for ready in trained.all(ModelReady)) == 2_442_240

    chat = load(default_model)
    chat.load_adapter("mine", trained.run.path)
    for question in ("Who are you?", "What is your name?"):
        assert "Lumifin" not in answer(chat, question, None)
        assert "Lumifin" in answer(chat, question, "mine")
    assert answer(chat, "Who are you?", "mine").startswith(after.answer[:20])
    assert "Paris" in answer(chat, "What is the capital of France?", "mine")


def test_p_tuning_lowers_the_loss_by_a_third(workspace: Workspace, default_model: Path) -> None:
    trained = learnt(
        workspace,
        default_model,
        "p-tuning",
        finetuning_type="p_tuning",
        pre_seq_len=8,
        per_device_train_batch_size=4,
        learning_rate=2e-2,
        max_steps=16,
    )
    assert fall(trained) < 0.7
    assert (trained.run.path / "prefix_encoder.safetensors").stat().st_size < 2_000_000  # the prefix alone
    assert not (trained.run.path / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(("method", "rate"), [("freeze", 1e-3), ("full", 1e-4)])
def test_weights_of_the_model_itself_learn_too(
    workspace: Workspace, default_model: Path, method: str, rate: float
) -> None:
    trained = learnt(
        workspace,
        default_model,
        method,
        finetuning_type=method,
        per_device_train_batch_size=4,
        learning_rate=rate,
        max_steps=6,
    )
    assert fall(trained) < 0.8
    weights = trained.weights()
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}  # as the base is stored
    assert trained.all(ModelReady)[0].dtype == "float32"
