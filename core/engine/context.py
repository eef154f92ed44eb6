"""Making a conversation fit the model's context: the oldest turns leave first, and it is told which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.chat.message import Message
from core.engine.template import Template
from core.errors import PromptTooLong, UsageError
from core.i18n import _

_SMALLEST_ANSWER_SHARE = 4
"""At least this fraction of the context (1/4) is kept free for an answer, if it may be that long."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is put before the model."""

    ids: tuple[int, ...]
    dropped: tuple[int, ...] = ()
    """Indices of the messages that had to leave."""


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
    room = context_length - min(max_new_tokens, context_length // _SMALLEST_ANSWER_SHARE)
    turns = _turns(messages)
    for dropped_turns in range(len(turns)):
        dropped = tuple(i for turn in turns[:dropped_turns] for i in turn)
        kept = [message for i, message in enumerate(messages) if i not in dropped]
        ids = template.rendering(kept, enable_thinking=enable_thinking).ids
        is_last_resort = dropped_turns == len(turns) - 1
        if len(ids) <= room or (is_last_resort and len(ids) < context_length):
            return Prompt(ids, dropped)
    message = _("the message is too long: with its surroundings it takes {tokens} of {context} tokens")
    raise PromptTooLong(
        message.format(tokens=len(ids), context=context_length),
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
