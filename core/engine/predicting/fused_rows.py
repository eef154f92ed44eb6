"""Rows of the fast forward: those that are written get one token a step, and the rest of the step reads prompts.

A prompt is read by itself, behind a copy of what all prompts begin with, and then takes its place among the others. So
products are as large in the middle of a batch as at its beginning, and nothing is padded but the attention of the rows
that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.cache import KeyValueRow
from core.engine.fused import FusedModel, Step
from core.engine.predicting.slots import Slots
from core.engine.predicting.writing import Writing
from core.engine.segment import Segment
from core.engine.span import Part, Span


@dataclass
class _Reading:
    """A row whose prompt is being read."""

    writing: Writing
    unread: list[int]
    row: KeyValueRow | None = None


class FusedRows:
    """See `core.engine.predicting.rows.Rows`.

    Args:
        step_tokens: how many tokens a step reads, written and of prompts.
        prefix: what all prompts begin with; shorter than each of them.
    """

    def __init__(
        self, model: FusedModel, adapter: str | None, places: int, step_tokens: int, prefix: Sequence[int]
    ) -> None:
        self._model, self._adapter = model, adapter
        self.places, self._step_tokens = places, step_tokens
        self._prefix, self._prefix_row = list(prefix), model.new_row()
        self._slots: Slots | None = None
        self._written: list[Writing] = []
        """In the slots' order."""
        self._readings: list[_Reading] = []

    @property
    def writings(self) -> Sequence[Writing]:
        return [*self._written, *(reading.writing for reading in self._readings)]

    @property
    def has_place(self) -> bool:
        return len(self._written) + len(self._readings) < self.places

    def join(self, writing: Writing) -> None:
        self._readings.append(_Reading(writing, writing.unread[len(self._prefix) :]))

    def step(self) -> tuple[list[Writing], Tensor]:
        """See `Rows.step`."""
        if self._slots is None:
            self._slots = self._read_prefix()
        if self._slots is None:
            return [], torch.empty(0)
        return self._read_on(self._slots)

    def _read_prefix(self) -> Slots | None:
        """A step's worth of what all prompts begin with; the slots when it is read."""
        row = self._prefix_row
        unread = self._prefix[len(row.tokens) :][: self._step_tokens]
        if unread:
            self._model.forward([Segment(row, unread, self._adapter, wants_logits=False)])
        if len(row.tokens) < len(self._prefix):
            return None
        return Slots(self._model.geometry, row, self._model.attention_scale)

    def _read_on(self, slots: Slots) -> tuple[list[Writing], Tensor]:
        written, read = len(self._written), self._spans(len(self._written))
        lengths = [*slots.lengths, *(span.end - slots.shared for _reading, span in read)]
        slots.reserve(len(self.writings), max(lengths) + 1)  # now: running out of memory must change nothing
        ids, positions = [writing.ids[-1] for writing in self._written], slots.positions
        parts: list[Part] = [slots.next_tokens(self._model.windows)] if written else []
        wanted = list(range(written))
        for reading, span in read:
            ids += reading.unread[: span.end - span.start]
            positions += range(span.start, span.end)
            parts.append(span)
            if span.end - span.start == len(reading.unread):
                wanted.append(span.rows.stop - 1)
        adapter = None if self._adapter is None else self._model.adapters[self._adapter]
        step = Step(
            ids,
            torch.tensor(positions, device=slots.device),
            longest=max(positions) + 1,
            parts=parts,
            adapted=[] if adapter is None else [(slice(0, len(ids)), adapter)],
            wanted=wanted,
        )
        logits = self._model.read(step)
        slots.grow()
        for reading, span in read:
            self._advance(slots, reading, span)
        return list(self._written), logits

    def _spans(self, at: int) -> list[tuple[_Reading, Span]]:
        """The prompts that have a part in this step, of which they get half at least."""
        left = max(self._step_tokens - at, self._step_tokens // 2)
        spans: list[tuple[_Reading, Span]] = []
        for reading in self._readings:
            if left <= 0:
                break
            if reading.row is None:
                reading.row = self._begun()
            count = min(left, len(reading.unread))
            spans.append((reading, self._model.span(reading.row, count, at)))
            at, left = at + count, left - count
        return spans

    def _begun(self) -> KeyValueRow:
        """A row that has read the prefix."""
        row, shared = self._model.new_row(), len(self._prefix)
        row.reserve(shared + 1)
        row.storage[:, :, :shared] = self._prefix_row.storage[:, :, :shared]
        row.tokens = list(self._prefix)
        return row

    def _advance(self, slots: Slots, reading: _Reading, span: Span) -> None:
        """Tokens have been read; a prompt's last ones give it a place among the written."""
        count = span.end - span.start
        span.row.tokens += reading.unread[:count]
        reading.unread = reading.unread[count:]
        if not reading.unread:
            self._readings.remove(reading)
            slots.add(span.row)
            self._written.append(reading.writing)

    def leave(self, writing: Writing) -> None:
        if writing in self._written:
            assert self._slots is not None
            place = self._written.index(writing)
            self._slots.remove(place)
            self._written[place] = self._written[-1]
            self._written.pop()
        else:
            self._readings = [one for one in self._readings if one.writing is not writing]

    def resize(self, places: int) -> list[Writing]:
        """See `Rows.resize`. Who has not begun leaves first."""
        self.places = places
        gone = list(self.writings)[places:]
        self._readings = self._readings[: max(0, places - len(self._written))]
        del self._written[places:]
        if self._slots is not None:
            self._slots.keep(len(self._written))
        return gone
