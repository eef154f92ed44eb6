"""Questions that are answered again and again while a model learns, so that one sees what it learns and forgets.

Answers are greedy and come from transformers' own forward over the very network that is trained, so a probe costs no
second copy of the weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from core.chat.message import Message
from core.engine.segment import Segment
from core.engine.stock import StockModel
from core.runs.events import Sample

PROBES_FROM_DATA = 2


@dataclass(frozen=True)
class Probe:
    """A question as people read it, and as the model does."""

    prompt: str
    ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    """The conversation that it ends, as the data has it."""


class Prober:
    """Answers probes with a network as it is at that moment."""

    def __init__(
        self,
        network: Any,
        probes: Sequence[Probe],
        *,
        decode: Callable[[Sequence[int]], str],
        end_ids: frozenset[int],
        stop: Sequence[str],
        longest: int,
    ) -> None:
        self._network, self._probes = network, tuple(probes)
        self._decode, self._end_ids, self._stop, self._longest = decode, end_ids, tuple(stop), longest

    def answer(self, step: int) -> Iterator[Sample]:
        """Answer every probe; dropout is off meanwhile."""
        model = StockModel(self._network)
        for probe in self._probes:
            yield Sample(time.time(), step, probe.prompt, self._greedy(model, probe.ids))

    def _greedy(self, model: StockModel, prompt: Sequence[int]) -> str:
        row, ids, answer = model.new_row(), list(prompt), list[int]()
        while len(answer) < self._longest:
            logits: Tensor = model.forward([Segment(row, ids)])
            token = int(logits[0].argmax())
            if token in self._end_ids:
                break
            answer.append(token)
            ids = [token]
            text = self._decode(answer)
            if any(mark in text for mark in self._stop):
                break
        text = self._decode(answer)
        ends = [text.index(mark) for mark in self._stop if mark in text]
        return text[: min(ends)] if ends else text.rstrip("\ufffd")
