"""A tiny model made ready to be trained, and a few steps of plain gradient descent on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.prepare import describe_base, load_for_training, prepare
from core.engine.tuning.tunable import Tunable
from tiny_models import SPECIALS, VOCABULARY


def tunable(
    folder: Path,
    *,
    adapters: Sequence[Path] = (),
    optimization: OptimizationOptions | None = None,
    data: DataOptions | None = None,
    template: str = "auto",
    seed: int = 0,
    **options: Any,
) -> Tunable:
    """A model prepared by a method; options are those of the method."""
    finetuning = FinetuningOptions(**options)
    optimization = optimization or OptimizationOptions()
    model = BaseModelOptions(model_name_or_path=str(folder), device="cpu", template=template)
    base = load_for_training(model, finetuning, optimization)
    torch.manual_seed(seed)
    return prepare(base, finetuning, optimization, adapters, describe_base(base, data or DataOptions()))


def token_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(SPECIALS), VOCABULARY, shape, generator=generator)


def loss_of(tuned: Tunable, ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
    loss: torch.Tensor = tuned.network(input_ids=ids, labels=ids, use_cache=False, **inputs).loss
    return loss


def train(tuned: Tunable, steps: int, *, rate: float = 2e-2, ids: torch.Tensor | None = None) -> list[float]:
    """Losses of some steps on one batch."""
    ids = token_ids(2, 20) if ids is None else ids
    optimizer = torch.optim.AdamW(tuned.trained.values(), lr=rate)
    losses = []
    tuned.network.train()
    for _step in range(steps):
        loss = loss_of(tuned, ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    tuned.network.eval()
    return losses


def logits_of(network: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = network(input_ids=ids, use_cache=False).logits
    return logits
