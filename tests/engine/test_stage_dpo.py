"""Stage dpo: what is preferred becomes likelier, measured against the model that the training began with."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

import pytest
import torch
from preference_runs import SMALL_PAIRS, make_pair_workspace, told
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from core.config.load import load
from core.config.training import TRAINING
from core.engine.batches.batch import EncodedRow
from core.engine.objectives import pairs
from core.engine.training.data import open_data
from core.runs.events import ModelsBeside, StageChanged, Step
from core.workspace import Workspace
from tiny_models import reference_model
from training_runs import Trained, train_here

DPO: dict[str, Any] = {**SMALL_PAIRS, "stage": "dpo", "eval_dataset": ("judged",)}
LN_2 = pytest.approx(math.log(2), abs=1e-6)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_pair_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def sft(workspace: Workspace) -> Trained:
    """An adapter that was trained on answers."""
    return train_here(workspace, "sft", dataset=("asked",), max_steps=6)


@pytest.fixture(scope="module")
def learnt(workspace: Workspace, sft: Trained) -> Trained:
    return train_here(
        workspace, "learnt", **DPO, max_steps=12, eval_steps=6, adapter_name_or_path=("sft",), plot_loss=True
    )


def pairs_of(trained: Trained, workspace: Workspace) -> list[tuple[EncodedRow, EncodedRow]]:
    """The rows of a run, as it learns from them."""
    settings = load(TRAINING, file=trained.run.config)
    rows: Any = open_data(settings, workspace.models / "tiny", workspace).rows
    return [(rows.pair(number).chosen, rows.pair(number).rejected) for number in range(len(rows))]


@torch.inference_mode()
def nats(model: Any, row: EncodedRow) -> float:
    """How likely an answer is, by transformers alone."""
    ids = torch.from_numpy(row.ids.astype("int64"))[None]
    logs = torch.log_softmax(model(input_ids=ids).logits[0, :-1].float(), -1)
    by_token = logs.gather(1, ids[0, 1:, None])[:, 0]
    return float(by_token[torch.from_numpy(row.trained[1:])].sum())


# --- the reference ------------------------------------------------------------------------------------------------


def test_the_reference_is_the_adapter_that_is_gone_on_from(workspace: Workspace, learnt: Trained, sft: Trained) -> None:
    stored = load_file(learnt.run.path / "reference.safetensors")
    alone = reference_model(workspace.models / "tiny", sft.run.path)
    expected = [[nats(alone, row) for row in pair] for pair in pairs_of(learnt, workspace)]
    torch.testing.assert_close(stored["train"], torch.tensor(expected), atol=2e-4, rtol=0)
    bare = reference_model(workspace.models / "tiny")
    apart = [
        abs(nats(bare, pair[0]) - said[0]) for pair, said in zip(pairs_of(learnt, workspace), expected, strict=True)
    ]
    assert max(apart) > 1.0  # the untuned model would be another reference


def test_who_the_reference_is_is_told(learnt: Trained) -> None:
    (beside,) = learnt.all(ModelsBeside)
    assert (beside.reference, beside.is_start) == ("sft (adapter) on tiny", True)
    assert len(beside.reference_sha256) == 64
    stages = [event.stage for event in learnt.all(StageChanged)]
    assert stages.index("reference") < stages.index("training")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"finetuning_type": "p_tuning", "pre_seq_len": 4},
        {"finetuning_type": "full"},
        {"finetuning_type": "freeze", "freeze_trainable_layers": 1},
        {"use_dora": True, "dpo_label_smoothing": 0.2},
    ],
    ids=["lora", "p_tuning", "full", "freeze", "dora"],
)
def test_the_first_loss_is_ln_2(workspace: Workspace, name: str, options: dict[str, Any]) -> None:
    trained = train_here(workspace, name, **DPO, max_steps=2, **options)
    first = trained.all(Step)[0]
    assert first.loss == LN_2
    assert first.metrics["margin"] == pytest.approx(0.0, abs=1e-5)
    assert trained.losses[1] != LN_2
    assert not trained.warnings


@pytest.mark.parametrize(("kind", "first"), [("hinge", 1.0), ("ipo", 25.0)])
def test_other_losses_begin_where_pairs_are_not_apart(workspace: Workspace, name: str, kind: str, first: float) -> None:
    trained = train_here(workspace, name, **DPO, max_steps=1, pref_loss=kind)
    assert trained.losses == pytest.approx([first], abs=1e-4)


def test_dropout_is_for_the_training_alone(workspace: Workspace, name: str) -> None:
    plain = train_here(workspace, f"{name}-plain", **DPO, max_steps=1, eval_steps=1)
    dropped = train_here(workspace, name, **DPO, max_steps=1, eval_steps=1, lora_dropout=0.5)
    known = [load_file(one.run.path / "reference.safetensors") for one in (plain, dropped)]
    assert all(torch.equal(known[0][key], known[1][key]) for key in ("train", "eval.0"))
    assert dropped.losses[0] == LN_2  # new factors add nothing, with dropout or without
    assert dropped.all(Step)[0].grad_norm != plain.all(Step)[0].grad_norm


@pytest.mark.parametrize("kind", ["orpo", "simpo"])
def test_what_needs_no_reference_has_none(workspace: Workspace, name: str, kind: str) -> None:
    trained = train_here(workspace, name, **DPO, max_steps=8, pref_loss=kind, pref_beta=1.0)
    assert not (trained.run.path / "reference.safetensors").exists()
    assert not trained.all(ModelsBeside)
    assert told(trained, "margin")[-1] > told(trained, "margin")[0]


def test_another_reference_is_held_against(workspace: Workspace, name: str, sft: Trained) -> None:
    trained = train_here(workspace, name, **DPO, max_steps=1, adapter_name_or_path=("sft",), ref_model="tiny")
    (beside,) = trained.all(ModelsBeside)
    assert (beside.reference, beside.is_start) == ("tiny", False)
    bare = reference_model(workspace.models / "tiny")
    expected = [[nats(bare, row) for row in pair] for pair in pairs_of(trained, workspace)]
    stored = load_file(trained.run.path / "reference.safetensors")
    torch.testing.assert_close(stored["train"], torch.tensor(expected), atol=2e-4, rtol=0)
    assert trained.losses[0] != LN_2
    assert not any("away from its reference" in warning for warning in trained.warnings)  # it was asked for


def test_a_reference_that_is_not_the_beginning_is_said(workspace: Workspace, name: str) -> None:
    trained = train_here(workspace, name, **DPO, max_steps=2, save_strategy="steps", save_steps=1)
    path = trained.run.path / "reference.safetensors"
    with safe_open(path, "pt") as stored:
        facts, tensors = stored.metadata(), {key: stored.get_tensor(key) - 0.25 for key in ("train", "eval.0")}
    save_file(tensors, path, facts)
    (warning,) = train_here(workspace, name, resume="step-000001").warnings
    assert warning == "before the first update the model is 0.25 nats an answer away from its reference"


# --- learning -----------------------------------------------------------------------------------------------------


def test_the_margin_grows_on_other_pairs_too(learnt: Trained) -> None:
    first, last = learnt.evaluations[0].metrics, learnt.evaluations[-1].metrics
    assert last["margin"] > first["margin"] > 0
    assert last["accuracy"] >= 0.9
    assert told(learnt, "margin")[-1] > 0.5
    assert set(last) == {
        *("loss", "accuracy", "margin", "chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp")
    }


def test_rewards_are_beta_times_what_changed(workspace: Workspace, learnt: Trained) -> None:
    """Computed once more by transformers and PEFT, from what the run has saved."""
    before = load_file(learnt.run.path / "reference.safetensors")["train"]
    now = reference_model(workspace.models / "tiny", learnt.run.path)
    margins = []
    for (chosen, rejected), said in zip(pairs_of(learnt, workspace), before.tolist(), strict=True):
        margins.append(0.1 * ((nats(now, chosen) - said[0]) - (nats(now, rejected) - said[1])))
    assert sum(margins) / len(margins) > 0.5
    assert sum(margin > 0 for margin in margins) / len(margins) >= 0.9


def test_the_factorys_names_are_trls(learnt: Trained) -> None:
    state = json.loads((learnt.run.path / "trainer_state.json").read_bytes())
    first = state["log_history"][0]
    assert {"rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected"} <= first.keys()
    assert first["logps/chosen"] < 0
    assert "eval_rewards/accuracies" in json.loads((learnt.run.path / "eval_results.json").read_bytes())
    assert learnt.log()[0]["accuracy"] == 0.5
    assert (learnt.run.path / "training_rewards_accuracies.png").stat().st_size > 1000


def test_eight_pairs_at_once_train_like_eight_times_one(workspace: Workspace, name: str) -> None:
    options = {**DPO, "max_steps": 4, "pref_ftx": 0.3}
    at_once = train_here(workspace, f"{name}-8x1", **{**options, "per_device_train_batch_size": 8})
    by_one = {**options, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    one_by_one = train_here(workspace, f"{name}-1x8", **by_one)
    assert one_by_one.losses == pytest.approx(at_once.losses, rel=2e-5)
    for quantity in ("margin", "chosen_logp"):
        assert told(one_by_one, quantity) == pytest.approx(told(at_once, quantity), rel=1e-3, abs=1e-4)


# --- what is kept -------------------------------------------------------------------------------------------------


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the sets that the reference looks at, as it goes."""
    right, seen = pairs.over_pairs, list[int]()

    def counted(rows: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(len(rows))
        return right(rows, *arguments, **options)

    monkeypatch.setattr("core.engine.objectives.reference_table.over_pairs", counted)
    return seen


def test_a_resumed_run_looks_at_no_reference_again(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**DPO, "save_strategy": "steps", "save_steps": 2}
    run = train_here(workspace, name, **options, max_steps=4)
    kept = (run.run.path / "reference.safetensors").read_bytes()
    seen = counting(monkeypatch)
    trained = train_here(workspace, name, resume="step-000002")
    assert trained.finished().step == 4
    assert not seen
    assert (run.run.path / "reference.safetensors").read_bytes() == kept


@pytest.mark.parametrize("spoilt", ["gone", "broken", "of other rows"])
def test_what_is_not_of_these_rows_is_computed_again_from_the_beginning(
    workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    options = {**DPO, "save_strategy": "steps", "save_steps": 2}
    whole = train_here(workspace, name, **options, max_steps=4)
    path = whole.run.path / "reference.safetensors"
    right = {key: tensor.clone() for key, tensor in load_file(path).items()}  # the file is written over
    if spoilt == "gone":
        path.unlink()
    elif spoilt == "broken":
        path.write_bytes(path.read_bytes()[:40])
    else:
        other = train_here(workspace, f"{name}-other", **options, max_steps=1, source_prefix="Say: ")
        shutil.copy(other.run.path / "reference.safetensors", path)
    seen, losses = counting(monkeypatch), whole.losses
    trained = train_here(workspace, name, resume="step-000002")
    assert seen == [26, 20]
    assert all(torch.equal(tensor, right[key]) for key, tensor in load_file(path).items())
    assert trained.losses[-2:] == losses[-2:]
