"""Draws from softmax for many rows at once, a uniform number each: inverse transform sampling in two steps.

The vocabulary is cut into blocks. First it is looked up into which block's share of the probability a number falls,
then into which token's share of that block: nothing is sorted and no vocabulary is cumulated, so a batch of draws costs
hardly more than a batch of maxima. A row's draw depends on its own numbers alone, wherever it stands and whoever else
is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BLOCK = 256
_LEAST_TEMPERATURE = 1e-30
"""Below it a quotient would be lost; there is nothing but the best token long before."""


@torch.inference_mode()
def draw(logits: Tensor, temperatures: Sequence[float], points: Sequence[float]) -> list[int]:
    """A token for each row.

    Args:
        logits: float32 [rows, vocabulary]; written over.
        points: uniform in [0, 1).

    Returns:
        token ids; −1 where the logits are no numbers.
    """
    weights = logits.sub_(logits.amax(-1, keepdim=True))
    if any(one != 1 for one in temperatures):
        divisors = [max(one, _LEAST_TEMPERATURE) for one in temperatures]
        weights = weights.div_(torch.tensor(divisors, device=logits.device)[:, None])
    weights = weights.exp_()
    shares = _shares(weights).cpu().double()  # from here on there is little, and not every device has float64
    ends = shares.cumsum(-1)
    wanted = torch.tensor(points, dtype=torch.float64) * ends[:, -1]
    blocks = _place(ends, wanted, shares)
    left = wanted - (ends - shares).gather(1, blocks)[:, 0]
    places = blocks * _BLOCK + torch.arange(_BLOCK)
    inside = places < weights.shape[1]
    few = weights.gather(1, places.clamp(max=weights.shape[1] - 1).to(weights.device)).cpu().double() * inside
    tokens = blocks * _BLOCK + _place(few.cumsum(-1), left, few)
    return torch.where(ends[:, -1].isnan(), -1, tokens[:, 0]).tolist()


def _shares(weights: Tensor) -> Tensor:
    """Each block's sum, [rows, blocks]; the last block may be short."""
    whole = weights.shape[1] // _BLOCK * _BLOCK
    shares: Tensor = weights[:, :whole].view(len(weights), -1, _BLOCK).sum(-1)
    if whole == weights.shape[1]:
        return shares
    return torch.cat((shares, weights[:, whole:].sum(-1, keepdim=True)), 1)


def _place(ends: Tensor, wanted: Tensor, shares: Tensor) -> Tensor:
    """The first part that ends behind what is wanted, [rows, 1]; always one that has a share, whatever is rounded."""
    found = torch.searchsorted(ends, wanted.clamp(min=0)[:, None], right=True)
    last = shares.shape[1] - 1 - (shares > 0).int().flip(1).argmax(-1, keepdim=True)
    return torch.minimum(found, last)
