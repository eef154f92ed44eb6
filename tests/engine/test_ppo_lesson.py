"""From a step's scores to what is learnt from them, option by option."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from core.config.ppo import PPOOptions
from core.engine.ppo.controller import RunningMoments
from core.engine.ppo.experience import Answer, Experience, Opinions
from core.engine.ppo.lesson import Lesson, lesson_of, longest_lesson

OWN = torch.tensor([-1.0, -2.0, -3.0, -0.5, -0.25])
REFERENCE = torch.tensor([-1.5, -2.0, -2.0, -0.5, -0.75])
VALUES = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
ANSWERS = (Answer((5, 6), (7, 8, 0), "yes", True, 1.0), Answer((9,), (7, 8), "no", False, 3.0))


def lesson(moments: RunningMoments | None = None, **options: Any) -> Lesson:
    experience = Experience(ANSWERS, Opinions(OWN, REFERENCE, VALUES, torch.zeros(5)))
    chosen = PPOOptions(**{"ppo_lambda": 1.0, **options})
    return lesson_of(experience, chosen, 0.1, moments or RunningMoments())


def test_returns_are_rewards_to_come_where_nothing_is_discounted() -> None:
    rewards = [-0.05, 0.0, 0.1 + 1.0, 0.0, -0.05 + 3.0]
    expected = [rewards[0] + rewards[1] + rewards[2], rewards[1] + rewards[2], rewards[2], rewards[3] + rewards[4]]
    found = lesson()
    assert found.then.returns.tolist() == pytest.approx([*expected, rewards[4]], rel=1e-6)
    raw = found.then.returns - VALUES
    assert found.then.advantages.tolist() == pytest.approx(((raw - raw.mean()) / raw.std()).tolist(), abs=1e-5)
    assert found.learnt_scores == [1.0, 3.0]
    assert found.told()["reward_normalised"] == 2.0


def test_an_answer_that_was_cut_off_pays() -> None:
    assert lesson(ppo_missing_eos_penalty=0.75).learnt_scores == [1.0, 2.25]


def test_scores_are_brought_to_one_scale_by_all_so_far() -> None:
    moments = RunningMoments()
    moments.learn([5.0, 7.0])
    found = lesson(moments, ppo_score_norm=True)
    whole = torch.tensor([5.0, 7.0, 1.0, 3.0])
    expected = ((torch.tensor([1.0, 3.0]) - whole.mean()) / whole.std()).tolist()
    assert found.learnt_scores == pytest.approx(expected, rel=1e-6)
    assert moments.count == 4


def test_whitened_rewards_have_spread_1_and_their_mean() -> None:
    plain, white = lesson(), lesson(ppo_whiten_rewards=True)
    rewards = torch.tensor([-0.05, 0.0, 1.1, 0.0, 2.95])
    expected = (rewards - rewards.mean()) / rewards.std() + rewards.mean()
    assert float(white.then.returns[4]) == pytest.approx(float(expected[4]), rel=1e-5)
    assert float(white.then.returns[0]) == pytest.approx(float(expected[:3].sum()), rel=1e-5)
    assert not torch.equal(plain.then.advantages, white.then.advantages)


def test_a_share_of_the_answers_has_its_own_tokens() -> None:
    found = lesson()
    then = found.then_of([1], torch.device("cpu"))
    assert torch.equal(then.values, VALUES[3:])
    assert torch.equal(then.advantages, found.then.advantages[3:])


def test_the_longest_lesson_is_as_long_as_answers_may_be() -> None:
    found = longest_lesson([[5, 6], [9]], 7)
    assert found.experience.lengths == [7, 7]
    assert found.experience.tokens == 17
    assert float(found.then_of([0, 1], torch.device("cpu")).advantages.abs().sum()) == 0.0


def test_a_score_is_put_to_an_answer() -> None:
    assert ANSWERS[0].with_score(9.0) == replace(ANSWERS[0], score=9.0)
