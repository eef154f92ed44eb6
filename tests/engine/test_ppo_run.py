"""Stage ppo through the real command, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from ppo_runs import PPO, adapter_of, metric, numbers, ppo, reward_file
from safetensors.torch import load_file

from core.engine.ppo.loop import PPOLoop, still
from core.runs.events import CheckpointSaved, DataReady, ModelsBeside, Sample, Step
from core.runs.quantities import QUANTITIES
from core.workspace import Workspace
from tiny_models import train_adapter
from training_runs import Trained, is_told, new_run, signalled_behind, train_here

SAVED = {"save_strategy": "steps", "save_steps": 2, "val_size": 3, "eval_steps": 2, "probe_max_new_tokens": 4}
SHAPED = {"ppo_score_norm": True, "ppo_whiten_rewards": True, "ppo_missing_eos_penalty": 0.5, "ppo_entropy_coef": 0.01}


@pytest.fixture(scope="module")
def dense(workspace: Workspace) -> str:
    return f"{reward_file(workspace)}:dense"


@pytest.fixture(scope="module")
def started(workspace: Workspace) -> Path:
    """An adapter that a reinforcement learning goes on from."""
    return train_adapter(workspace.models / "tiny", workspace.root / "sft", steps=10)


@pytest.fixture(scope="module")
def whole(workspace: Workspace, dense: str, started: Path) -> Trained:
    """The run that nothing happened to."""
    return ppo(workspace, "whole", dense, adapter_name_or_path=(str(started),), plot_loss=True, **SAVED)


# --- what is told -----------------------------------------------------------------------------------------------


def test_every_quantity_is_told_at_every_step(whole: Trained) -> None:
    told = {quantity.name for quantity in QUANTITIES["ppo"]}
    assert [set(step.metrics) for step in whole.all(Step)] == [told] * 4
    told = [text for text in whole.warnings if text.startswith("step") or "reference" in text]
    assert told == ["step 1: 100% of the answers are cut off at 6 tokens, and scored as they stand"]


def test_at_the_first_step_the_policy_is_the_reference(whole: Trained) -> None:
    distances = metric(whole, "kl")
    assert distances[0] == 0.0
    assert all(abs(distance) > 1e-4 for distance in distances[1:])


def test_the_run_names_what_it_is_held_against(whole: Trained) -> None:
    (beside,) = whole.all(ModelsBeside)
    assert beside.reference == "sft (adapter) on tiny"
    assert len(beside.reference_sha256) == 64
    assert beside.is_start
    assert (beside.reward, beside.reward_kind) == ("rewards.py:dense", "function")


def test_an_update_draws_batches_and_learns_from_them_in_passes(whole: Trained) -> None:
    (ready,) = whole.all(DataReady)
    assert (ready.rows, ready.steps_per_epoch, ready.total_steps) == (23, 3.0, 4)
    assert [step.rows for step in whole.all(Step)] == [8, 16, 23, 31]  # the last of an epoch takes what is left
    state = torch.load(whole.run.checkpoint(2) / "trainer" / "optimizer.pt", weights_only=True)
    moves = {int(one["step"]) for one in state["optimizer"]["state"].values()}
    assert moves == {2 * 2 * 2}  # updates × passes × minibatches of 4 among 8
    assert state["schedule"]["last_epoch"] == 2


def test_samples_have_rewards_and_come_with_every_checkpoint(whole: Trained) -> None:
    samples = whole.all(Sample)
    assert sorted({sample.step for sample in samples}) == [0, 2, 4]
    for sample in samples:
        assert sample.reward == sum(ord(letter) % 7 for letter in sample.answer) / 16


def test_evaluations_tell_reward_and_distance(whole: Trained) -> None:
    assert [one.step for one in whole.evaluations] == [2, 4]
    for one in whole.evaluations:
        assert set(one.metrics) == {"reward", "kl", "answer_tokens", "eos_rate"}
        assert one.rows == 3
    best = max(whole.evaluations, key=lambda one: one.metrics["reward"])
    assert best.best


def test_files_have_the_names_of_others(whole: Trained) -> None:
    folder = whole.run.path
    lines = [line for line in whole.log() if "loss" in line]
    assert [line["reward"] for line in lines] == metric(whole, "reward")
    results = json.loads((folder / "train_results.json").read_bytes())
    rewards, rows = metric(whole, "reward"), [8, 8, 7, 8]
    mean = sum(reward * count for reward, count in zip(rewards, rows, strict=True)) / 31
    assert results["train_reward"] == pytest.approx(mean)
    assert (folder / "training_reward.png").stat().st_size > 1000
    for place in (folder, whole.run.checkpoint(2)):
        assert set(load_file(place / "value_head.safetensors")) == {"v_head.summary.weight", "v_head.summary.bias"}


# --- resuming ---------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_same_run_held_against_the_same_start(
    workspace: Workspace, dense: str, started: Path, whole: Trained
) -> None:
    options = {**PPO, **SAVED, "plot_loss": True, "reward_model": dense, "adapter_name_or_path": (str(started),)}
    run = new_run(workspace, "killed", options)
    assert signalled_behind(run, workspace, is_told(CheckpointSaved, 2)) == -9
    resumed = train_here(workspace, "killed", resume="step-000002")
    assert resumed.exit_code == 0
    assert numbers(resumed) == numbers(whole)
    assert abs(metric(resumed, "kl")[2]) > 1e-4  # the checkpoint would be 0 from itself
    assert len({one.reference_sha256 for one in resumed.all(ModelsBeside)}) == 1
    ours, theirs = adapter_of(resumed.run.path), adapter_of(whole.run.path)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert resumed.evaluations[-1].metrics == whole.evaluations[-1].metrics


def test_what_moves_slowly_is_resumed_too(workspace: Workspace, dense: str) -> None:
    options = {**SHAPED, "ppo_horizon": 100.0, "ppo_target": 0.5, "save_strategy": "steps", "save_steps": 2}
    shaped = ppo(workspace, "shaped", dense, **options)
    before = numbers(shaped)
    prices = metric(shaped, "kl_coef")
    assert prices[1] == pytest.approx(0.2 * (1 - 0.2 * 8 / 100))
    resumed = train_here(workspace, "shaped", resume="step-000002")
    assert numbers(resumed) == before
    assert metric(resumed, "reward_normalised") != metric(resumed, "reward")


# --- how it is cut changes nothing -------------------------------------------------------------------------------


def test_micro_batches_change_nothing(workspace: Workspace, dense: str) -> None:
    whole, cut = (
        numbers(
            ppo(
                workspace,
                f"cut-{size}",
                dense,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=8 // size,
                ppo_buffer_size=1,
                max_steps=3,
                learning_rate=1e-4,
            )
        )
        for size in (8, 1)
    )
    for step, told in whole.items():
        assert cut[step] == pytest.approx(told, rel=2e-3, abs=2e-4)
    assert {told["kl"] for told in (whole[1], cut[1])} == {0.0}


# --- methods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"finetuning_type": "full"},
        {"finetuning_type": "freeze", "num_layer_trainable": 1},
        {"finetuning_type": "p_tuning", "pre_seq_len": 4},
        {"use_dora": True},
    ],
)
def test_every_method_is_held_against_its_start(
    workspace: Workspace, dense: str, name: str, options: dict[str, Any]
) -> None:
    trained = ppo(workspace, name, dense, max_steps=2, learning_rate=5e-3, **options)
    first, second = metric(trained, "kl")
    assert abs(first) < 1e-4
    assert abs(second) > 10 * abs(first) + 1e-5
    assert [text for text in trained.warnings if "first step" in text or "already before" in text] == []


def test_a_new_adapter_over_an_old_one_is_held_against_both(workspace: Workspace, dense: str, started: Path) -> None:
    options = {"adapter_name_or_path": (str(started),), "create_new_adapter": True, "learning_rate": 5e-3}
    trained = ppo(workspace, "over", dense, max_steps=2, **options)
    first, second = metric(trained, "kl")
    assert first == 0.0
    assert abs(second) > 1e-4
    (beside,) = trained.all(ModelsBeside)
    assert beside.is_start
    assert "sft" in beside.reference


def test_trying_what_fits_into_memory_changes_nothing(
    workspace: Workspace, dense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ppo(workspace, "plain", dense, max_steps=2)
    prepare, tried = PPOLoop._prepare, []

    def prepare_and_try(self: PPOLoop) -> None:
        prepare(self)
        before = self.policy.state()
        self._try_longest()
        tried.append(all(torch.equal(before[name], now) for name, now in self.policy.state().items()))
        assert all(parameter.grad is None for parameter in self.policy.trained.values())

    monkeypatch.setattr(PPOLoop, "_prepare", prepare_and_try)
    assert numbers(ppo(workspace, "tried", dense, max_steps=2)) == numbers(plain)
    assert tried == [True]


@pytest.mark.parametrize("kind", ["GPTNeoX", "OPT", "Bloom"])
def test_dropout_of_the_base_is_off_whatever_it_is_called(kind: str) -> None:
    rates = {"hidden_dropout": 0.4, "attention_dropout": 0.4, "dropout": 0.4, "layerdrop": 0.4}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "ffn_dim": 16, "word_embed_proj_dim": 16}
    heads = {"num_attention_heads": 2, "n_head": 2, "num_hidden_layers": 2, "n_layer": 2}
    config: Any = getattr(transformers, f"{kind}Config")
    auto: Any = transformers.AutoModelForCausalLM
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    network = auto.from_config(config(vocab_size=20, **sizes, **heads, **rates, **ends), dtype=torch.float32)
    still(network)
    ids = torch.arange(12)[None]
    assert network.training
    assert torch.equal(network(ids).logits, network(ids).logits)
