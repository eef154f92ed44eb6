"""One step of a model: some rows go on by some tokens each.

Prefill and decoding are the same step with different numbers of tokens, so an answer may begin while another is in its
middle. Whoever runs models (the fast forward, transformers' own) takes a list of segments and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Segment:
    """A row and the tokens that it reads next."""

    row: Any
    """A row that the same runner made."""
    ids: Sequence[int]
    adapter: str | None = None
    wants_logits: bool = True
    """Whether the logits behind the last token are needed; not in the middle of a prompt."""


class Runner(Protocol):
    """A model that reads segments."""

    def new_row(self) -> Any:
        """An empty row."""

    def continue_row(self, row: Any, length: int) -> bool:
        """Crop a row to its first `length` tokens; False when this kind of row cannot be cropped there."""

    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """Read the segments' ids into their rows.

        Returns:
            float32 logits [segments that want them, vocabulary], in their order.
        """
