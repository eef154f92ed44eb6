"""From scores to what each token is worth: rewards per token, advantages and returns.

Tokens of all answers stand end to end, answer after answer, in float32 on the CPU: there are few of them beside the
states they come from, and every process that trains makes the same numbers of the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_EPSILON = 1e-8


def token_rewards(log_ratios: Tensor, scores: Tensor, lengths: Sequence[int], kl_coef: float) -> Tensor:
    """What each token gets: the distance to the reference costs, and the last token of an answer brings its score.

    Args:
        log_ratios: float32 [tokens], log-probability of the policy less that of the reference.
        scores: float32 [answers]
        lengths: tokens of each answer, none of them 0.
        kl_coef: what a nat costs.

    Returns:
        float32 [tokens]
    """
    rewards = -kl_coef * log_ratios
    rewards[torch.tensor(lengths).cumsum(0) - 1] += scores
    return rewards


def advantages_of(
    rewards: Tensor, values: Tensor, lengths: Sequence[int], *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016), an answer at a time; after its last token comes nothing.

    Args:
        rewards: float32 [tokens]
        values: float32 [tokens], of the state before each token.
        lengths: tokens of each answer.
        gamma: what a reward one token later is worth.
        lam: 0 trusts the values, 1 the rewards.

    Returns:
        Advantages and returns, float32 [tokens] each.
    """
    spans = list(lengths)
    reward, value = (pad_sequence(list(torch.split(each, spans)), batch_first=True) for each in (rewards, values))
    following = torch.cat([value[:, 1:], torch.zeros_like(value[:, :1])], 1)  # 0 after the end: padding is 0
    surprise = reward + gamma * following - value
    advantage, later = torch.zeros_like(surprise), torch.zeros_like(surprise[:, 0])
    within = torch.arange(surprise.shape[1]) < torch.tensor(spans)[:, None]
    for at in reversed(range(surprise.shape[1])):
        later = (surprise[:, at] + gamma * lam * later) * within[:, at]
        advantage[:, at] = later
    flat = advantage[within]
    return flat, flat + values


def whitened(values: Tensor, *, keeps_mean: bool = False) -> Tensor:
    """Values brought to spread 1, and to mean 0 where it is not kept (TRL's `masked_whiten`).

    Args:
        values: float32 [tokens]; a single one has no spread and stays as far from the mean as it is.
    """
    if len(values) < 2:
        return values if keeps_mean else torch.zeros_like(values)
    mean = values.mean()
    white = (values - mean) * torch.rsqrt(values.var() + _EPSILON)
    return white + mean if keeps_mean else white
