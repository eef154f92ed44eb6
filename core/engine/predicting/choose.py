"""The next tokens of a whole batch, with one transfer from the device where answers are greedy.

Rows that draw from all tokens draw together, each with a number of its own generator; what else is done to
probabilities is done row by row (`core.engine.sampling`). Either way a seed draws in a batch what it draws in a chat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.engine.drawing import draw
from core.engine.predicting.writing import Writing
from core.engine.sampling import Sampler, takes_all
from core.errors import ModelError
from core.i18n import _

NEAR_TIE = 1e-3
"""Logits of the two best tokens that lie closer may change places with another batch (float32)."""


class Chooser:
    """Chooses for rows of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._samplers: dict[Writing, Sampler] = {}

    def choose(self, writings: Sequence[Writing], logits: Tensor) -> Iterator[tuple[Writing, str]]:
        """Give every row its next token.

        Args:
            logits: float [rows, vocabulary]; may be written over.

        Yields:
            rows that cannot go on, and why.
        """
        kinds = [_kind(writing) for writing in writings]
        for kind, choose in (("greedy", self._best), ("drawn", self._drawn), ("other", self._one_by_one)):
            places = [n for n, one in enumerate(kinds) if one == kind]
            if places:
                rows = logits if len(places) == len(writings) else logits[places]
                yield from choose([writings[n] for n in places], rows)

    def forget(self, writing: Writing) -> None:
        self._samplers.pop(writing, None)

    def _best(self, writings: Sequence[Writing], logits: Tensor) -> Iterator[tuple[Writing, str]]:
        for writing, token, gap, value in zip(writings, *_best(logits).tolist(), strict=True):
            if value != value:
                yield writing, _no_numbers()
            else:
                writing.near_ties += gap < NEAR_TIE
                writing.take(int(token))

    def _drawn(self, writings: Sequence[Writing], logits: Tensor) -> Iterator[tuple[Writing, str]]:
        points = [self._sampler(writing).point() for writing in writings]
        temperatures = [writing.question.sampling.temperature for writing in writings]
        for writing, token in zip(writings, draw(logits, temperatures, points), strict=True):
            if token < 0:
                yield writing, _no_numbers()
            else:
                writing.take(token)

    def _one_by_one(self, writings: Sequence[Writing], logits: Tensor) -> Iterator[tuple[Writing, str]]:
        for writing, row in zip(writings, logits, strict=True):
            try:
                token = self._sampler(writing).choose(row)
            except ModelError as error:
                yield writing, error.message
            else:
                writing.take(token)

    def _sampler(self, writing: Writing) -> Sampler:
        sampler = self._samplers.get(writing)
        if sampler is None:
            sampler = Sampler(writing.question.sampling, writing.question.ids, self._device)
            self._samplers[writing] = sampler
        return sampler


@torch.inference_mode()
def _best(logits: Tensor) -> Tensor:
    """Of each row the best token, how far the second lies below it, and its logit: [3, rows].

    Two passes, which take half the time of `topk` on a CPU. float32 holds every token id.
    """
    best, tokens = logits.max(-1)
    logits.scatter_(1, tokens[:, None], -torch.inf)
    return torch.stack((tokens.float(), best - logits.amax(-1), best))


def _kind(writing: Writing) -> str:
    sampling = writing.question.sampling
    if sampling.repetition_penalty != 1.0:
        return "other"
    if sampling.temperature == 0:
        return "greedy"
    return "drawn" if takes_all(sampling) else "other"


def _no_numbers() -> str:
    return _("the model's arithmetic broke down: it gave NaN instead of numbers")
