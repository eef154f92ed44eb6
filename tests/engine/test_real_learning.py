"""Real learning, on the real default model: what is trained is learnt, and a fresh chat says so.

What is learnt is measured against the base as it is: by its loss on rows that are kept out of the training, or, where
every update is seen once, by the first two updates, which the warm-up computes with the weights untouched. About 100
seconds of one core in all.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conversations import ask, load, text_of

from core.chat.message import Message
from core.config.load import load as load_options
from core.config.training import TRAINING
from core.engine.training.data import open_data
from core.engine.tuning.base import load_plainly
from core.runs.events import ModelReady, Sample, Step
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
KEPT_OUT = 12


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return init_workspace(tmp_path_factory.mktemp("workspace"))[0]


def learnt(workspace: Workspace, model: Path, name: str, **options: Any) -> Trained:
    trained = train_here(workspace, name, model_name_or_path=str(model), **OPTIONS, **options)
    assert trained.finished().reason == "completed"
    return trained


def fall(trained: Trained) -> float:
    """The mean loss of the last three updates over that of the first two, which the untouched weights gave."""
    first, second = trained.all(Step)[:2]
    assert first.learning_rate == 0.0
    return fmean(trained.losses[-3:]) / fmean((first.loss, second.loss))


def loss_of_base(workspace: Workspace, trained: Trained, model: Path) -> float:
    """The untuned model's loss on the rows that a run has kept out, by transformers' own forward."""
    data = open_data(load_options(TRAINING, file=trained.run.config), model, workspace)
    (kept_out,) = data.evaluation_sets
    network = load_plainly(model, torch.device("cpu"), torch.float32).network.eval()
    total = targets = 0.0
    for number in range(len(kept_out.rows)):
        row = kept_out.rows.row(number)
        ids = torch.from_numpy(row.ids).long()
        with torch.no_grad():
            logits = network(input_ids=ids[None], use_cache=False).logits[0, :-1]
        trained_on = torch.from_numpy(row.trained[1:])
        total += float(F.cross_entropy(logits[trained_on], ids[1:][trained_on], reduction="sum"))
        targets += row.targets
    return total / targets


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


def test_p_tuning_lowers_the_loss_of_unseen_rows_by_a_third(workspace: Workspace, default_model: Path) -> None:
    trained = learnt(
        workspace,
        default_model,
        "p-tuning",
        finetuning_type="p_tuning",
        pre_seq_len=8,
        per_device_train_batch_size=4,
        learning_rate=2e-2,
        max_steps=16,
        val_size=KEPT_OUT,
        probe_max_new_tokens=0,
    )
    assert fmean(trained.losses[-3:]) < 0.7 * trained.losses[0]  # against its own beginning, where the prefix disturbs
    (after,) = trained.evaluations
    base = loss_of_base(workspace, trained, default_model)
    assert after.rows == KEPT_OUT
    assert after.metrics["loss"] < 0.7 * base  # against the model as it was, on rows that were never trained on
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
        probe_max_new_tokens=0,
    )
    assert fall(trained) < 0.8
    weights = trained.weights()
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}  # as the base is stored
    assert trained.all(ModelReady)[0].dtype == "float32"
