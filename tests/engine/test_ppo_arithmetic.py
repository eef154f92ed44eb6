"""PPO's arithmetic against its definitions, written out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from core.engine.ppo.advantages import advantages_of, token_rewards, whitened
from core.engine.ppo.controller import KLController, RunningMoments
from core.engine.ppo.losses import (
    Clipping,
    Then,
    explained_variance,
    moved,
    policy_losses,
    summed_loss,
    value_losses,
)
from core.engine.ppo.minibatches import Minibatches

LENGTHS = [5, 1, 9, 3]
CLIPPING = Clipping(ratio=0.2, value=0.2, value_coef=0.1, entropy_coef=0.01)


def drawn(seed: int, count: int = sum(LENGTHS)) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def direct(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Σ_k (γλ)^k δ_{t+k}, as the definition has it."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * after - v for r, after, v in zip(rewards, following, values, strict=True)]
    return [sum((gamma * lam) ** k * d for k, d in enumerate(deltas[t:])) for t in range(len(deltas))]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (0.97, 1.0)])
def test_advantages_are_the_direct_sum(gamma: float, lam: float) -> None:
    rewards, values = drawn(1), drawn(2)
    advantages, returns = advantages_of(rewards, values, LENGTHS, gamma=gamma, lam=lam)
    expected: list[float] = []
    for r, v in zip(rewards.double().split(LENGTHS), values.double().split(LENGTHS), strict=True):
        expected += direct(r.tolist(), v.tolist(), gamma, lam)
    assert advantages.tolist() == pytest.approx(expected, abs=2e-6)
    assert torch.equal(returns, advantages + values)


def test_the_score_comes_with_the_last_token_and_distance_costs() -> None:
    apart, scores = drawn(3), torch.tensor([1.0, -2.0, 3.0, 4.0])
    rewards = token_rewards(apart, scores, LENGTHS, 0.2)
    expected = -0.2 * apart
    for last, score in zip((4, 5, 14, 17), scores.tolist(), strict=True):
        expected[last] += score
    assert torch.allclose(rewards, expected, atol=0)


def test_with_nothing_to_expect_all_tokens_share_the_score() -> None:
    rewards = token_rewards(torch.zeros(4), torch.tensor([2.0]), [4], 0.5)
    advantages, returns = advantages_of(rewards, torch.zeros(4), [4], gamma=1.0, lam=1.0)
    assert advantages.tolist() == returns.tolist() == [2.0] * 4


def test_whitened_has_mean_0_and_spread_1() -> None:
    values = 7 + 3 * drawn(4, 500)
    white = whitened(values)
    assert float(white.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(white.std()) == pytest.approx(1.0, abs=1e-5)
    kept = whitened(values, keeps_mean=True)
    assert float(kept.mean()) == pytest.approx(float(values.mean()), abs=1e-5)
    assert float(kept.std()) == pytest.approx(1.0, abs=1e-5)


def test_a_single_value_has_no_spread() -> None:
    assert whitened(torch.tensor([5.0])).tolist() == [0.0]
    assert whitened(torch.tensor([5.0]), keeps_mean=True).tolist() == [5.0]
    assert whitened(torch.full((4,), 2.0)).tolist() == [0.0] * 4


def test_ratios_are_clipped_where_that_is_the_worse() -> None:
    ratio = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.5])
    advantage = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0])
    assert policy_losses(ratio, advantage, 0.2).tolist() == pytest.approx([-0.5, -1.0, -1.2, 0.8, 1.5])


def test_values_are_clipped_where_that_is_the_worse() -> None:
    values, old = torch.tensor([1.0, 0.1, -1.0]), torch.zeros(3)
    returns = torch.tensor([1.0, 1.0, 1.0])
    assert value_losses(values, old, returns, 0.2).tolist() == pytest.approx([0.5 * 0.8**2, 0.5 * 0.9**2, 0.5 * 2.0**2])


def test_the_loss_is_its_parts_and_its_gradient_is_the_policys() -> None:
    then = Then(drawn(5), drawn(6), drawn(7), drawn(8))
    new = (then.log_probabilities + 0.3 * drawn(9)).requires_grad_()
    values, entropy = (then.values + drawn(10)).requires_grad_(), drawn(11).exp().requires_grad_()
    total, told = summed_loss(new, values, entropy, then, CLIPPING)
    ratio = (new - then.log_probabilities).exp()
    policy = policy_losses(ratio, then.advantages, 0.2).sum()
    value = value_losses(values, then.values, then.returns, 0.2).sum()
    assert float(total) == pytest.approx(float(policy + 0.1 * value - 0.01 * entropy.sum()), rel=1e-6)
    beyond = float(((ratio - 1).abs() > 0.2).sum())
    expected = [float(policy), float(value), beyond, float(moved(new - then.log_probabilities).sum())]
    assert told.tolist() == pytest.approx(expected, rel=1e-5)
    assert 0 < beyond < len(new)
    total.backward()
    assert entropy.grad is not None
    assert entropy.grad.tolist() == pytest.approx([-0.01] * len(entropy))


def test_at_the_first_minibatch_the_gradient_is_the_advantages() -> None:
    then = Then(drawn(5), drawn(6), drawn(7), drawn(8))
    new = then.log_probabilities.clone().requires_grad_()
    total, told = summed_loss(new, then.values, None, then, CLIPPING)
    total.backward()
    assert new.grad is not None
    assert torch.equal(new.grad, -then.advantages)
    assert told.tolist()[2:] == [0.0, 0.0]


def test_how_far_it_moved_is_never_negative_and_is_the_divergence_on_average() -> None:
    p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    terms = moved((q / p).log())
    assert bool((terms >= 0).all())
    assert float((p * terms).sum()) == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-12)


def test_explained_variance() -> None:
    returns = drawn(12, 100)
    assert explained_variance(returns, returns) == pytest.approx(1.0)
    assert explained_variance(torch.full((100,), 3.0), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0, rel=1e-5)
    assert explained_variance(returns, torch.ones(100)) == 0.0


# --- what moves slowly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (6.6, 1 + 0.1 * 64 / 10000), (60.0, 1 + 0.2 * 64 / 10000), (0.0, 1 - 0.2 * 64 / 10000)],
)
def test_the_coefficient_follows_its_target(kl: float, factor: float) -> None:
    controller = KLController(0.2, adapts=True, target=6.0, horizon=10000.0)
    controller.learn(kl, 64)
    assert controller.coef == pytest.approx(0.2 * factor, rel=1e-12)


def test_a_fixed_coefficient_stays() -> None:
    controller = KLController(0.2)
    controller.learn(60.0, 64)
    assert controller.coef == 0.2


def test_running_moments_are_those_of_all_scores() -> None:
    scores = (100 + drawn(13, 40)).double().tolist()
    moments = RunningMoments()
    for start in range(0, 40, 7):
        moments.learn(scores[start : start + 7])
    moments.learn([])
    whole = torch.tensor(scores, dtype=torch.float64)
    assert moments.count == 40
    assert moments.mean == pytest.approx(float(whole.mean()), rel=1e-12)
    assert moments.spread == pytest.approx(float(whole.std()), rel=1e-9)
    assert moments.normalised(scores) == pytest.approx(((whole - whole.mean()) / whole.std()).tolist(), rel=1e-8)


def test_scores_that_are_all_the_same_are_nothing_to_learn_from() -> None:
    moments = RunningMoments()
    moments.learn([3.0, 3.0])
    assert moments.normalised([3.0, 3.0]) == [0.0, 0.0]


# --- minibatches ------------------------------------------------------------------------------------------------


def flat(parts: Sequence[Sequence[int]]) -> list[int]:
    return [number for part in parts for number in part]


def test_each_pass_sees_every_answer_once_in_an_order_of_its_own() -> None:
    batches = Minibatches(2, accumulation=3)
    first, second = batches.of_pass(20, 7, 0), batches.of_pass(20, 7, 1)
    assert [len(batch) for batch in first] == [6, 6, 6, 2]
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(20))
    assert first != second
    assert first == Minibatches(2, accumulation=3).of_pass(20, 7, 0)
    assert first != batches.of_pass(20, 8, 0)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_a_minibatch_among_them(world: int) -> None:
    shares = [Minibatches(2, world=world, rank=rank) for rank in range(world)]
    for minibatch in shares[0].of_pass(11, 0, 0):
        taken = flat([part for share in shares for part in share.micro(minibatch)])
        assert sorted(taken) == sorted(minibatch)
        assert all(len(part) <= 2 for share in shares for part in share.micro(minibatch))


def test_sums_over_micro_batches_are_those_of_the_minibatch() -> None:
    then = Then(drawn(5), drawn(6), drawn(7), drawn(8))
    new, values = then.log_probabilities + 0.3 * drawn(9), then.values + drawn(10)
    whole, told = summed_loss(new, values, None, then, CLIPPING)
    spans = [slice(0, 5), slice(5, 15), slice(15, 18)]
    parts = [
        summed_loss(
            new[one],
            values[one],
            None,
            Then(*(each[one] for each in (then.log_probabilities, then.values, then.advantages, then.returns))),
            CLIPPING,
        )
        for one in spans
    ]
    assert math.fsum(float(total) for total, _told in parts) == pytest.approx(float(whole), rel=1e-5)
    assert torch.allclose(sum(each for _total, each in parts), told, rtol=1e-5)
