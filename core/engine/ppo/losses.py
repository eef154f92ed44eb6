"""PPO's losses, token by token and added up: who divides by the tokens of the whole minibatch decides how it is cut.

Proximal policy optimisation (Schulman et al. 2017): a token's probability counts no further than the clip range away
from what it was, and so does its value, as in Ziegler et al. 2019 and TRL.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clipping:
    """How far an update may go, and how its parts weigh."""

    ratio: float
    value: float
    value_coef: float
    entropy_coef: float


@dataclass(frozen=True)
class Then:
    """What was so when the answers were drawn, float32 [tokens] each."""

    log_probabilities: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


TOLD = ("policy_loss", "value_loss", "clip_fraction", "approx_kl")


def summed_loss(
    log_probabilities: Tensor, values: Tensor, entropy: Tensor | None, then: Then, clipping: Clipping
) -> tuple[Tensor, Tensor]:
    """The whole loss of some tokens, and what is told of it.

    Args:
        log_probabilities: float32 [tokens], of the policy as it is; with a graph, as are the next two.
        values: float32 [tokens]
        entropy: float32 [tokens], where it counts.
        then: of the same tokens.
        clipping: how far the update may go.

    Returns:
        A float32 scalar with a graph; and float32 [4] without one, by `TOLD`. Both are added up over the tokens.
    """
    log_ratio = log_probabilities - then.log_probabilities
    ratio = log_ratio.exp()
    policy = policy_losses(ratio, then.advantages, clipping.ratio)
    value = value_losses(values, then.values, then.returns, clipping.value)
    total = policy.sum() + clipping.value_coef * value.sum()
    if entropy is not None:
        total = total - clipping.entropy_coef * entropy.sum()
    with torch.no_grad():
        clipped = ((ratio - 1).abs() > clipping.ratio).float()
        told = torch.stack([each.detach().sum() for each in (policy, value, clipped, moved(log_ratio))])
    return total, told


def policy_losses(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """The clipped objective's loss, [tokens]."""
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """Half the squared error of the values, [tokens]; they count no further than the range away from what they were."""
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def moved(log_ratio: Tensor) -> Tensor:
    """How far a policy moved from where it was, in nats, [tokens]: r − 1 − log r, whose mean is their divergence.

    Never negative, and with less noise than −log r (Schulman, "Approximating KL divergence", k3).
    """
    return log_ratio.exp() - 1 - log_ratio


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """The share of the returns' variance that the values foretell: 1 all of it, 0 none, below 0 worse than a constant.

    Returns that are all the same have no variance to foretell: 0.
    """
    if len(returns) < 2:
        return 0.0
    variance = float(returns.var())
    return 1.0 - float((returns - values).var()) / variance if variance > 0 else 0.0
