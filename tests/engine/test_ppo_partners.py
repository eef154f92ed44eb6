"""Who stands beside a policy: rewards and references, in the run itself; other processes; and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from ppo_runs import PPO, adapter_of, metric, numbers, ppo, reward_file
from preference_runs import make_pair_workspace
from test_several_processes import two_processes

from core.engine.ppo.collecting import Collector
from core.engine.ppo.experience import Answer, Opinions
from core.engine.ppo.learning import Learner
from core.runs.events import ModelsBeside, Sample
from core.workspace import Workspace
from tiny_models import train_adapter
from training_runs import Trained, ended, new_run, train_here


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With pairs, questions, and the functions of `ppo_runs`."""
    workspace = make_pair_workspace(tmp_path_factory.mktemp("workspace"))
    reward_file(workspace)
    return workspace


def asked(workspace: Workspace, name: str, reward: str, **options: Any) -> Trained:
    return ppo(workspace, name, reward, dataset=("asked",), **options)


# --- a reward model of one's own ---------------------------------------------------------------------------------


def test_a_reward_model_scores_and_no_weight_of_the_policy_is_touched(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train_here(workspace, "reward", stage="rm", dataset=("pairs",), max_steps=6)
    assert trained.exit_code == 0, trained.last
    passes = []
    scored = Collector._scored

    def watched(self: Collector, *arguments: Any) -> list[Answer]:
        before = self._policy.state()
        answers = scored(self, *arguments)
        after = self._policy.state()
        passes.append(all(torch.equal(before[name], after[name]) for name in before))
        return answers

    monkeypatch.setattr(Collector, "_scored", watched)
    learnt = asked(workspace, "by-reward", "reward", probe_max_new_tokens=4)
    assert passes == [True] * 4
    (beside,) = learnt.all(ModelsBeside)
    assert (beside.reward, beside.reward_kind) == ("reward", "lora")
    assert metric(learnt, "kl")[0] == 0.0
    assert len(set(metric(learnt, "reward"))) == 4
    assert all(sample.reward is not None for sample in learnt.all(Sample))
    head = adapter_of(learnt.run.path)["v_head.summary.weight"]
    assert float(head.abs().max()) > 0
    assert not torch.equal(head, adapter_of(trained.run.path)["v_head.summary.weight"])


# --- the reference ----------------------------------------------------------------------------------------------


def plainly(model: Path, adapter: Path, answers: Sequence[Answer], temperature: float) -> torch.Tensor:
    """Log-probabilities of answers' tokens by transformers and PEFT as they are."""
    base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    network = peft.PeftModel.from_pretrained(base, adapter).eval()
    found = []
    for answer in answers:
        ids = torch.tensor([*answer.prompt_ids, *answer.answer_ids])
        with torch.no_grad():
            logits = network(input_ids=ids[None], use_cache=False).logits[0, :-1] / temperature
        own = torch.log_softmax(logits, -1).gather(1, ids[1:, None])[:, 0]
        found.append(own[len(answer.prompt_ids) - 1 :])
    return torch.cat(found)


def test_the_reference_is_the_adapter_alone_and_the_policy_what_it_has_become(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = workspace.models / "tiny"
    start = train_adapter(model, workspace.root / "sft", steps=10)
    seen: list[tuple[Sequence[Answer], Opinions]] = []
    opinions = Collector._opinions

    def kept(self: Collector, answers: Sequence[Answer], *rest: Any) -> Opinions:
        seen.append((answers, opinions(self, answers, *rest)))
        return seen[-1][1]

    monkeypatch.setattr(Collector, "_opinions", kept)
    options = {"adapter_name_or_path": (str(start),), "temperature": 0.8, "save_strategy": "steps", "save_steps": 3}
    learnt = asked(workspace, "held", "dense", **options)
    answers, last = seen[3]
    assert torch.allclose(last.reference, plainly(model, start, answers, 0.8), atol=2e-5)
    before_it = learnt.run.checkpoint(3)
    assert torch.allclose(last.log_probabilities, plainly(model, before_it, answers, 0.8), atol=2e-5)
    assert float((last.reference - last.log_probabilities).abs().max()) > 1e-3


def test_another_reference_is_not_0_away_and_no_warning_says_so(workspace: Workspace) -> None:
    model = workspace.models / "tiny"
    other = train_adapter(model, workspace.root / "other", steps=10, seed=3)
    learnt = asked(workspace, "other-reference", "dense", ref_model=str(other), max_steps=1)
    (beside,) = learnt.all(ModelsBeside)
    assert not beside.is_start
    assert metric(learnt, "kl")[0] > 0.1
    assert not [text for text in learnt.warnings if "first step" in text]


# --- several processes ------------------------------------------------------------------------------------------


def test_two_processes_learn_like_one(workspace: Workspace) -> None:
    options = {
        **PPO,
        "dataset": ("asked",),
        "reward_model": f"{workspace.root}/rewards.py:dense",
        "learning_rate": 1e-4,
    }
    options |= {"val_size": 3, "eval_steps": 2, "ppo_score_norm": True}
    alone = train_here(workspace, "alone", **options)
    run = new_run(workspace, "together", {**options, "per_device_train_batch_size": 1})
    assert [ended(pid) for pid in two_processes(run.path, workspace)] == [0, 0]
    together = Trained(run, 0)
    for step, told in numbers(alone).items():
        assert numbers(together)[step] == pytest.approx(told, rel=2e-3, abs=2e-4)
    assert [one.metrics for one in together.evaluations] == [
        pytest.approx(one.metrics, rel=2e-3, abs=2e-4) for one in alone.evaluations
    ]


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_alarms_are_warnings_of_the_run_and_are_said_once(workspace: Workspace) -> None:
    learnt = asked(workspace, "same", "same", max_steps=3)
    (said,) = [text for text in learnt.warnings if "the same score" in text]
    assert said == "step 1: all 8 answers have the same score, there is nothing to learn from"
    assert metric(learnt, "reward_spread") == [0.0] * 3


def test_a_reward_that_is_no_number_ends_the_run_with_the_reason(workspace: Workspace) -> None:
    failed = train_here(
        workspace, "missing", **{**PPO, "dataset": ("asked",), "reward_model": f"{workspace.root}/rewards.py:missing"}
    )
    assert failed.exit_code == 1
    assert "missing" in failed.failed().error
    assert "nan" in failed.failed().error


def test_a_policy_that_is_not_its_reference_at_first_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    opinions = Collector._opinions

    def shifted(self: Collector, *arguments: Any) -> Opinions:
        found = opinions(self, *arguments)
        return Opinions(found.log_probabilities, found.reference - 0.5, found.values, found.entropy)

    monkeypatch.setattr(Collector, "_opinions", shifted)
    learnt = asked(workspace, "shifted", "dense", max_steps=2)
    (said,) = [text for text in learnt.warnings if "first step" in text]
    assert said.startswith("the distance to the reference is not 0 at the first step: 0.5000 nats")


def test_ratios_that_are_not_1_at_first_are_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    opinions = Collector._opinions

    def shifted(self: Collector, *arguments: Any) -> Opinions:
        found = opinions(self, *arguments)
        return Opinions(found.log_probabilities - 0.25, found.reference - 0.25, found.values, found.entropy)

    monkeypatch.setattr(Collector, "_opinions", shifted)
    learnt = asked(workspace, "ratios", "dense", max_steps=2)
    (said,) = [text for text in learnt.warnings if "already before" in text]
    assert said.startswith("step 1: answers are 0.2500 nats a token away")


def test_memory_that_is_too_short_makes_smaller_pieces_and_changes_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asked(workspace, "roomy", "dense", max_steps=2, learning_rate=1e-4)
    tried = Learner._try_answers

    def short(self: Learner, lesson: Any, rows: Sequence[int], *rest: Any) -> torch.Tensor:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("too little")
        return tried(self, lesson, rows, *rest)

    monkeypatch.setattr(Learner, "_try_answers", short)
    cut = asked(workspace, "short", "dense", max_steps=2, learning_rate=1e-4)
    assert [text for text in cut.warnings if "micro-batches of 1" in text]
    for step, told in numbers(whole).items():
        assert numbers(cut)[step] == pytest.approx(told, rel=2e-3, abs=2e-4)
