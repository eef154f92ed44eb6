"""NEFTune (arXiv:2310.05914): noise on the embeddings while training, its size falling with the row's length.

The length is that of the padded row, as in transformers; so rows have to stand padded.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def add_noise(embeddings: nn.Module, alpha: float) -> None:
    """Let an embedding add uniform noise of ±alpha/√(length · size) to what it gives, in training only."""

    def noisy(module: nn.Module, _arguments: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        size = alpha / math.sqrt(output.shape[1] * output.shape[2])
        return output + torch.empty_like(output).uniform_(-size, size)

    embeddings.register_forward_hook(noisy)
