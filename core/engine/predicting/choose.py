"""The next tokens of a whole batch, with one transfer from the device where answers are greedy.

Whatever is drawn goes through `core.engine.sampling`, row by row with the row's own generator: a seed draws in a batch
what it draws in a chat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from core.engine.predicting.writing import Writing
from core.engine.sampling import Sampler
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
        draws = {n: logits[n].clone() for n, writing in enumerate(writings) if not _is_plain(writing)}
        best = _best(logits).tolist()
        for n, (writing, token, gap, value) in enumerate(zip(writings, *best, strict=True)):
            if value != value:
                yield writing, _("the model's arithmetic broke down: it gave NaN instead of numbers")
                continue
            if n in draws:
                token = self._drawn(writing, draws[n])
            else:
                writing.near_ties += gap < NEAR_TIE
            writing.take(int(token))

    def forget(self, writing: Writing) -> None:
        self._samplers.pop(writing, None)

    def _drawn(self, writing: Writing, logits: Tensor) -> int:
        sampler = self._samplers.get(writing)
        if sampler is None:
            sampler = Sampler(writing.question.sampling, writing.question.ids, self._device)
            self._samplers[writing] = sampler
        return sampler.choose(logits)


@torch.inference_mode()
def _best(logits: Tensor) -> Tensor:
    """Of each row the best token, how far the second lies below it, and its logit: [3, rows].

    Two passes, which take half the time of `topk` on a CPU. float32 holds every token id.
    """
    best, tokens = logits.max(-1)
    logits.scatter_(1, tokens[:, None], -torch.inf)
    return torch.stack((tokens.float(), best - logits.amax(-1), best))


def _is_plain(writing: Writing) -> bool:
    sampling = writing.question.sampling
    return sampling.temperature == 0 and sampling.repetition_penalty == 1.0
