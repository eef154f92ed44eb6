"""Making a conversation fit the model's context: the oldest turns leave first, and it is told which.

A little more leaves than has to: what leaves is rounded up to a quarter of the room. So the turns that follow drop the
same messages and go on with the same cache, where dropping one turn at a time would read everything anew each time.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from core.chat.message import Message
from core.engine.template import Rendering, Template
from core.errors import PromptTooLong, UsageError
from core.i18n import _

_ANSWER_SHARE = 4
"""A quarter of the context is kept free for an answer, if it may be that long."""
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is put before the model."""

    ids: tuple[int, ...]
    dropped: tuple[int, ...] = ()
    """Indices of the messages that had to leave."""
    opens_reasoning: bool = False
    """Whether the template itself has opened `<think>`, so that the answer begins inside of it."""


def fit(
    template: Template,
    messages: Sequence[Message],
    context_length: int,
    max_new_tokens: int,
    enable_thinking: bool | None = None,
) -> Prompt:
    """Render the conversation so that an answer still fits behind it.

    The system prompt and the last question always stay; in between, whole turns leave from the oldest on.

    Raises:
        PromptTooLong: the last question alone is too long.
        UsageError: there is no question.
    """
    if not messages:
        raise UsageError(_("there is nothing to answer: the conversation has no messages"))
    turns = _turns(messages)

    def without(count: int) -> tuple[Rendering, tuple[int, ...]]:
        dropped = tuple(i for turn in turns[:count] for i in turn)
        kept = [message for i, message in enumerate(messages) if i not in dropped]
        return template.rendering(kept, enable_thinking=enable_thinking), dropped

    room = max(1, context_length - min(max_new_tokens, context_length // _ANSWER_SHARE))
    rendering, dropped = without(0)
    excess = len(rendering.ids) - room
    if excess > 0 and len(turns) > 1:
        step = max(1, room // _STEPS)
        allowed = len(rendering.ids) - step * -(-excess // step)
        counts = range(1, len(turns) - 1)  # dropping all but the last question is what remains when none is enough
        found = bisect.bisect_left(counts, True, key=lambda count: len(without(count)[0].ids) <= allowed)
        rendering, dropped = without(found + 1)
    if len(rendering.ids) > room and len(rendering.ids) >= context_length:
        raise _too_long(len(rendering.ids), context_length)
    if not rendering.ids:
        raise UsageError(_("there is nothing to answer: the chat template makes no text of the conversation"))
    return Prompt(rendering.ids, dropped, rendering.text.rstrip().endswith("<think>"))


def _too_long(tokens: int, context_length: int) -> PromptTooLong:
    message = _("the message is too long: with its surroundings it takes {tokens} of {context} tokens")
    return PromptTooLong(
        message.format(tokens=tokens, context=context_length),
        _("shorten it, or load a model with a longer context"),
    )


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """Indices of the messages, question and answers together; system messages in front belong to no turn.

    The last list is the last question with whatever follows it.
    """
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message.role == "system" and not turns:
            continue
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns or [[]]
