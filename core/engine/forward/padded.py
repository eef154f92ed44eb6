"""Rows below one another, the shorter ones filled up at their ends: for what cannot be laid end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.engine.batches.batch import Batch


@dataclass(frozen=True)
class Padded:
    """A batch as a rectangle of tokens."""

    ids: Tensor
    """int64 [rows, length]"""
    mask: Tensor
    """int64 [rows, length]: 1 where a token stands."""
    predicting: Tensor
    """bool [rows, length]: tokens from which a target is predicted."""
    targets: Tensor
    """int64 [targets], row by row."""


def pad(batch: Batch, *, filler: int, device: torch.device) -> Padded:
    """The rectangle of a batch; `filler` is any token that the vocabulary has."""
    shape = (len(batch.rows), max(len(row.ids) for row in batch.rows))
    ids, mask = np.full(shape, filler, np.int64), np.zeros(shape, np.int64)
    predicting = np.zeros(shape, np.bool_)
    for number, row in enumerate(batch.rows):
        length = len(row.ids)
        ids[number, :length], mask[number, :length] = row.ids, 1
        predicting[number, : length - 1] = row.trained[1:]
    targets = np.concatenate([row.ids[1:][row.trained[1:]] for row in batch.rows]).astype(np.int64)
    return Padded(*(torch.from_numpy(values).to(device) for values in (ids, mask, predicting, targets)))
