"""A question as PPO asks it: the tokens up to where an answer begins, none of which bears loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.chat.message import Message
from core.config.data import DataOptions
from core.engine.batches.batch import EncodedRow
from core.engine.batches.cut import Cut, cut_prompt_to
from core.engine.batches.encode import LeftOut
from core.engine.template import Template, prepared
from core.errors import ModelError


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A question in all its views."""

    row: EncodedRow
    messages: tuple[Message, ...]
    """As they were rendered: with system prompt and prefix, and without what was cut."""
    cut: Cut | None = None

    @property
    def rows(self) -> tuple[EncodedRow, ...]:
        """As they are stored."""
        return (self.row,)


def encode_prompt(
    template: Template, messages: Sequence[Message], options: DataOptions, longest: int
) -> EncodedPrompt | LeftOut:
    """A conversation that ends with a question, as a chat would put it before the model.

    Args:
        longest: the most tokens; what is longer loses its oldest turns and the middle of its question.
    """
    if not messages or messages[-1].role != "user":
        return LeftOut("unanswered")
    asked, cut = prepared(messages, options.default_system, options.source_prefix), None
    try:
        ids = template.rendering(asked, enable_thinking=options.enable_thinking).ids
        if len(ids) > longest:
            if options.on_long_rows == "drop":
                return LeftOut("too_long")
            fitted = cut_prompt_to(longest, template, asked, options.enable_thinking)
            if fitted is None:
                return LeftOut("no_room")
            asked, cut = fitted
            ids = template.rendering(asked, enable_thinking=options.enable_thinking).ids
    except ModelError as error:
        return LeftOut("refused", error.message)
    row = EncodedRow(np.array(ids, dtype=np.int32), np.zeros(len(ids), dtype=np.bool_))
    return EncodedPrompt(row, tuple(asked), cut)
