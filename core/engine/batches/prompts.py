"""Questions as rows of tokens, for stages whose answers the model gives itself.

The tokens are stored; the words are read from the data when somebody wants to see them. Questions that are the same
stay as often as they stand in the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.chat.message import Message
from core.engine.batches.batch import EncodedRow
from core.engine.batches.encode_prompt import EncodedPrompt
from core.engine.batches.encoded_set import EncodedSet
from core.engine.batches.recipe import Recipe


class PromptRows:
    """Some questions of a set. Each counts as one row with one target: itself."""

    def __init__(self, whole: EncodedSet, recipe: Recipe, numbers: NDArray[np.int32] | None = None) -> None:
        self._whole, self._recipe = whole, recipe
        self._numbers = np.arange(len(whole), dtype=np.int32) if numbers is None else numbers
        self.lengths: NDArray[np.int32] = whole.lengths[self._numbers]
        """Of the prompts alone."""
        self.targets: NDArray[np.int32] = np.ones(len(self._numbers), dtype=np.int32)
        self.projected: NDArray[np.int32] = np.zeros(len(self._numbers), dtype=np.int32)
        """No token of a prompt is predicted."""
        self.examples: NDArray[np.int32] = whole.examples[self._numbers]
        """The numbers of the examples they were made of."""

    def __len__(self) -> int:
        return len(self._numbers)

    def only(self, indices: Sequence[int]) -> PromptRows:
        """Some of them, numbered anew."""
        return PromptRows(self._whole, self._recipe, self._numbers[list(indices)])

    def row(self, index: int) -> EncodedRow:
        """The prompt up to where the answer begins; no token bears loss."""
        return self._whole.row(int(self._numbers[index]))

    def text(self, index: int) -> str:
        """The last question, as it stands in the data."""
        return self._recipe.question(int(self.examples[index]))[-1].content

    def messages(self, index: int) -> tuple[Message, ...]:
        """What the model is asked, as far as it was not cut, without the system prompt and the prefix that options add:
        whoever scores an answer asks in a manner of its own."""
        asked = self._recipe.question(int(self.examples[index]))
        found = self._recipe.encoded(int(self.examples[index]))
        if not isinstance(found, EncodedPrompt) or found.cut is None:
            return asked
        options = self._recipe.data
        kept = found.messages
        if options.default_system and asked[0].role != "system":
            kept = kept[1:]
        first = next(n for n, message in enumerate(kept) if message.role == "user")
        content = kept[first].content.removeprefix(options.source_prefix)
        return (*kept[:first], dataclasses.replace(kept[first], content=content), *kept[first + 1 :])
