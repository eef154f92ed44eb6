"""Losses of pairs against closed forms, the papers' and TRL's."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config.preference import PreferenceOptions
from core.engine.objectives.pairs import counted_rewards
from core.engine.objectives.preferring import Likely, preference_loss
from core.engine.objectives.rewarding import pairwise_loss

# Two pairs: nats of the answers, tokens, and what a reference says.
CHOSEN, REJECTED = [-6.0, -9.0], [-8.0, -7.5]
CHOSEN_TOKENS, REJECTED_TOKENS = [3.0, 6.0], [4.0, 5.0]
REFERENCE = [[-7.0, -7.5], [-8.0, -8.25]]


def likely(dtype: torch.dtype = torch.float64) -> Likely:
    values = (CHOSEN, REJECTED, CHOSEN_TOKENS, REJECTED_TOKENS)
    return Likely(*(torch.tensor(one, dtype=dtype, requires_grad=True) for one in values))


def loss(kind: str, **options: Any) -> list[float]:
    chosen = PreferenceOptions(pref_loss=kind, **options)  # type: ignore[arg-type]
    reference = None if kind in ("orpo", "simpo") else torch.tensor(REFERENCE, dtype=torch.float64)
    return preference_loss(likely(), reference, chosen).loss.tolist()


def by_hand(of_pair: Callable[..., float]) -> Any:
    """What a formula gives for both pairs, of plain numbers: (c, r, |c|, |r|, c', r')."""
    rows = zip(CHOSEN, REJECTED, CHOSEN_TOKENS, REJECTED_TOKENS, REFERENCE, strict=True)
    return pytest.approx([of_pair(c, r, n, m, *other) for c, r, n, m, other in rows], rel=1e-12)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# --- rewards ------------------------------------------------------------------------------------------------------


def test_the_loss_of_rewards_is_bradley_terrys() -> None:
    chosen, rejected = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.5, 0.0, 1.0])
    expected = [-math.log(sigmoid(c - r)) for c, r in zip(chosen.tolist(), rejected.tolist(), strict=True)]
    assert pairwise_loss(chosen, rejected).tolist() == pytest.approx(expected, rel=1e-6)
    assert pairwise_loss(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(("margin", "expected", "slope"), [(1e4, 0.0, 0.0), (-1e4, 1e4, -1.0)])
def test_no_difference_of_rewards_is_too_large(margin: float, expected: float, slope: float) -> None:
    chosen = torch.tensor([margin], requires_grad=True)
    found = pairwise_loss(chosen, torch.zeros(1))
    torch.autograd.backward(found.sum())
    assert found.item() == expected
    assert chosen.grad is not None
    assert chosen.grad.item() == slope


def test_what_is_counted_of_rewards_takes_a_draw_for_half() -> None:
    counted = counted_rewards(torch.tensor([2.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 3.0]))
    assert {name: float(value) for name, value in counted.items()} == {
        "accuracy": 1.5,
        "margin": -1.0,
        "chosen_reward": 3.0,
        "rejected_reward": 4.0,
    }


# --- preferences --------------------------------------------------------------------------------------------------


def test_dpo_is_the_papers() -> None:
    def of_pair(c: float, r: float, _n: float, _m: float, other_c: float, other_r: float) -> float:
        return -math.log(sigmoid(0.3 * ((c - other_c) - (r - other_r))))

    assert loss("sigmoid", pref_beta=0.3) == by_hand(of_pair)


def test_conservative_dpo_takes_a_share_for_wrong() -> None:
    def of_pair(c: float, r: float, _n: float, _m: float, other_c: float, other_r: float) -> float:
        ahead = 0.3 * ((c - other_c) - (r - other_r))
        return -0.9 * math.log(sigmoid(ahead)) - 0.1 * math.log(sigmoid(-ahead))

    assert loss("sigmoid", pref_beta=0.3, dpo_label_smoothing=0.1) == by_hand(of_pair)


def test_hinge_is_slics() -> None:
    def of_pair(c: float, r: float, _n: float, _m: float, other_c: float, other_r: float) -> float:
        return max(0.0, 1 - 0.5 * ((c - other_c) - (r - other_r)))

    assert loss("hinge", pref_beta=0.5) == by_hand(of_pair)


def test_ipo_looks_at_means_over_tokens() -> None:
    def of_pair(c: float, r: float, n: float, m: float, other_c: float, other_r: float) -> float:
        return float(((c - other_c) / n - (r - other_r) / m - 1 / 0.4) ** 2)

    assert loss("ipo", pref_beta=0.2) == by_hand(of_pair)


def test_orpo_adds_the_odds_ratio_to_the_supervised_loss() -> None:
    def of_pair(c: float, r: float, n: float, m: float, *_other: float) -> float:
        better, worse = math.exp(c / n), math.exp(r / m)
        odds = math.log(better / (1 - better)) - math.log(worse / (1 - worse))
        return -c / n - 0.1 * math.log(sigmoid(odds))

    assert loss("orpo", pref_beta=0.1) == by_hand(of_pair)


def test_orpo_stands_answers_that_are_certain() -> None:
    certain = Likely(*(torch.tensor([value], requires_grad=True) for value in (0.0, -1e-9, 2.0, 2.0)))
    found = preference_loss(certain, None, PreferenceOptions(pref_loss="orpo")).loss
    torch.autograd.backward(found.sum())
    assert math.isfinite(found.item())
    assert certain.chosen.grad is not None
    assert math.isfinite(certain.chosen.grad.item())


def test_simpo_wants_a_distance_of_gamma() -> None:
    def of_pair(c: float, r: float, n: float, m: float, *_other: float) -> float:
        return -math.log(sigmoid(2.0 * (c / n - r / m) - 0.7))

    assert loss("simpo", pref_beta=2.0, simpo_gamma=0.7) == by_hand(of_pair)


@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo", "orpo", "simpo"])
def test_a_supervised_share_is_added(kind: str) -> None:
    plain = loss(kind)
    expected = [one - 0.5 * c / n for one, c, n in zip(plain, CHOSEN, CHOSEN_TOKENS, strict=True)]
    assert loss(kind, pref_ftx=0.5) == pytest.approx(expected, rel=1e-12)


def test_rewards_are_beta_times_the_distance() -> None:
    found = preference_loss(likely(), torch.tensor(REFERENCE, dtype=torch.float64), PreferenceOptions(pref_beta=0.5))
    assert found.chosen_reward.tolist() == pytest.approx([0.5 * (-6 + 7), 0.5 * (-9 + 8)])
    assert found.rejected_reward.tolist() == pytest.approx([0.5 * (-8 + 7.5), 0.5 * (-7.5 + 8.25)])


# --- TRL's --------------------------------------------------------------------------------------------------------


class Accelerator:
    """As much of one as TRL's losses ask for."""

    device = torch.device("cpu")

    def gather(self, value: Tensor) -> Tensor:
        return value

    gather_for_metrics = gather


@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo"])
def test_dpo_is_trls(kind: str) -> None:
    from trl.trainer.dpo_trainer import DPOTrainer  # 2 s

    chosen = [int(count) for count in (*CHOSEN_TOKENS, *REJECTED_TOKENS)]
    length = 1 + max(chosen)
    mask = torch.tensor([[0, *([1] * count), *([0] * (length - 1 - count))] for count in chosen])
    nats = torch.tensor([*CHOSEN, *REJECTED], dtype=torch.float64)
    by_token = nats[:, None] / torch.tensor(chosen)[:, None] * mask[:, 1:]
    zeros = torch.zeros_like(by_token)
    outputs = SimpleNamespace(log_probs=by_token, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    stub: Any = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=Accelerator(),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        beta=0.3,
        loss_types=[kind],
        loss_weights=[1.0],
        use_weighting=False,
        _total_train_tokens=0,
        _metrics={"eval": _Lists()},
    )
    reference = torch.tensor(REFERENCE, dtype=torch.float64)
    inputs = {
        "input_ids": torch.ones_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": reference[:, 0],
        "ref_rejected_logps": reference[:, 1],
    }
    theirs = _any(DPOTrainer)._compute_loss(stub, lambda **_inputs: outputs, inputs, False)
    ours = preference_loss(likely(), reference, PreferenceOptions(pref_loss=kind, pref_beta=0.3))  # type: ignore[arg-type]
    assert ours.loss.mean().item() == pytest.approx(float(theirs), rel=1e-6)
    told = stub._metrics["eval"]
    assert ours.chosen_reward.mean().item() == pytest.approx(told["rewards/chosen"][0])
    assert ours.rejected_reward.mean().item() == pytest.approx(told["rewards/rejected"][0])


def _any(trainer: Any) -> Any:
    """Its methods take a stub for `self`."""
    return trainer


class _Lists(dict[str, list[float]]):
    def __missing__(self, key: str) -> list[float]:
        return self.setdefault(key, [])


def test_orpos_odds_and_simpo_are_trls() -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    chosen = torch.tensor(CHOSEN) / torch.tensor(CHOSEN_TOKENS)
    rejected = torch.tensor(REJECTED) / torch.tensor(REJECTED_TOKENS)
    stub: Any = SimpleNamespace(accelerator=Accelerator(), beta=0.1)
    of_odds = _any(ORPOTrainer).odds_ratio_loss(stub, chosen, rejected)[0]  # a gain there, taken from the loss
    assert loss("orpo", pref_beta=0.1) == pytest.approx((-chosen - of_odds).tolist(), rel=1e-5)

    stub = SimpleNamespace(
        accelerator=Accelerator(), beta=2.0, alpha=0.0, loss_type="simpo", simpo_gamma=0.7, label_smoothing=0.0
    )
    theirs = _any(CPOTrainer).cpo_loss(stub, chosen, rejected)[0]
    assert loss("simpo", pref_beta=2.0, simpo_gamma=0.7) == pytest.approx(theirs.tolist(), rel=1e-5)


def test_the_reward_models_loss_is_trls() -> None:
    from trl.trainer.reward_trainer import RewardTrainer

    rewards = torch.tensor([0.7, -1.0, 0.1, 0.4])
    stub: Any = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=Accelerator(),
        args=SimpleNamespace(center_rewards_coefficient=None),
        _total_train_tokens=0,
        _metrics={"eval": _Lists()},
    )
    outputs = SimpleNamespace(logits=rewards[:, None])
    theirs = _any(RewardTrainer).compute_loss(stub, lambda **_inputs: outputs, {})
    assert pairwise_loss(rewards[:2], rewards[2:]).mean().item() == pytest.approx(float(theirs))
