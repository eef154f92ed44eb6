"""What there is to learn from a step's answers: from scores by way of rewards to advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.ppo import PPOOptions
from core.engine.ppo.advantages import advantages_of, token_rewards, whitened
from core.engine.ppo.controller import RunningMoments
from core.engine.ppo.experience import Answer, Experience, Opinions
from core.engine.ppo.losses import Then, explained_variance


@dataclass(frozen=True)
class Lesson:
    """An experience, worked out."""

    experience: Experience
    then: Then
    """Of all tokens."""
    learnt_scores: Sequence[float]
    """As they are learnt from."""

    def then_of(self, answers: Sequence[int], device: torch.device) -> Then:
        """Of the tokens of some answers."""
        at, then = self.experience.tokens_of(answers), self.then
        parts: tuple[Tensor, ...] = (then.log_probabilities, then.values, then.advantages, then.returns)
        return Then(*(part[at].to(device) for part in parts))

    def told(self) -> dict[str, float]:
        """What is told of it, by the names of `core.runs.quantities`."""
        return {
            "reward_normalised": sum(self.learnt_scores) / len(self.learnt_scores),
            "explained_variance": explained_variance(self.then.values, self.then.returns),
        }


def lesson_of(experience: Experience, options: PPOOptions, kl_coef: float, moments: RunningMoments) -> Lesson:
    """Work out what each token was worth.

    Args:
        kl_coef: what a nat of distance to the reference costs at this step.
        moments: of all scores so far; they learn these, where scores are brought to one scale.
    """
    opinions, lengths = experience.opinions, experience.lengths
    scores = _learnt_scores(experience, options, moments)
    apart = opinions.log_probabilities - opinions.reference
    rewards = token_rewards(apart, torch.tensor(scores, dtype=torch.float32), lengths, kl_coef)
    if options.ppo_whiten_rewards:
        rewards = whitened(rewards, keeps_mean=True)
    advantages, returns = advantages_of(
        rewards, opinions.values, lengths, gamma=options.ppo_gamma, lam=options.ppo_lambda
    )
    then = Then(opinions.log_probabilities, opinions.values, whitened(advantages), returns)
    return Lesson(experience, then, scores)


def longest_lesson(prompts: Sequence[Sequence[int]], tokens: int) -> Lesson:
    """What takes most memory: answers of full length to some questions. There is nothing to learn from it."""
    answers = [Answer(tuple(ids), (int(ids[-1]),) * tokens, "", False, 0.0) for ids in prompts]
    nothing = torch.zeros(tokens * len(answers))
    opinions = Opinions(nothing, nothing, nothing, nothing)
    return Lesson(Experience(answers, opinions), Then(nothing, nothing, nothing, nothing), [0.0] * len(answers))


def _learnt_scores(experience: Experience, options: PPOOptions, moments: RunningMoments) -> list[float]:
    """Scores, less the penalty of answers that were cut off, on one scale where that is wanted."""
    cut_off = options.ppo_missing_eos_penalty
    scores = [answer.score - (0.0 if answer.ended else cut_off) for answer in experience.answers]
    if not options.ppo_score_norm:
        return scores
    moments.learn(scores)
    return moments.normalised(scores)
