"""A classification model with one label as what reads rewards: of any architecture that transformers scores texts with.

Texts stand padded on the right, which no causal model sees and which others are told of by the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.engine.shortage import if_memory_suffices

_TOKENS_AT_ONCE = 2048


class Classifier:
    """Reads texts, those of similar length together; see `core.engine.scorers.trained.Reading`."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network, device

    def __call__(self, texts: Sequence[Sequence[int]]) -> Iterator[float | None]:
        """The score of each text, in their order."""
        begin = 0
        while begin < len(texts):
            together = _first_few(texts[begin:])
            found = if_memory_suffices(partial(self._scores, together))
            if found is None:  # by itself, before it is given up
                together = together[:1]
                found = if_memory_suffices(partial(self._scores, together))
            yield from found.tolist() if found is not None else [None]
            begin += len(together)

    @torch.inference_mode()
    def _scores(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """float32 [texts]. By the head at the last token where the network has one for every token: its own choice of
        the last token goes by padding, and is wrong where an answer ends with the token that also pads."""
        longest = max(map(len, texts))
        ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in texts], device=self._device)
        lengths = torch.tensor([len(one) for one in texts], device=self._device)
        mask = (torch.arange(longest, device=self._device) < lengths[:, None]).long()
        head = getattr(self._network, "score", None)
        if head is None:  # reads the whole, as BERT does
            scores: Tensor = self._network(input_ids=ids, attention_mask=mask).logits[:, 0]
            return scores.float()
        states = self._network.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        scores = head(states[torch.arange(len(texts), device=self._device), lengths - 1])[:, 0]
        return scores.float()


def _first_few(texts: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """As many of the first texts as are read at once, padding counted; at least one."""
    longest = 0
    for count, ids in enumerate(texts):
        longest = max(longest, len(ids))
        if count and longest * (count + 1) > _TOKENS_AT_ONCE:
            return texts[:count]
    return texts
