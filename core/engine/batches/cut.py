"""Rows that are too long, cut so that they still teach what they were written for.

In this order, each only as far as it has to be:

1. The oldest exchanges leave, a question with its answer, while the row is too long or its question's side is.
2. The text of the last question loses its middle. Its beginning and its end stay, and so do the template's own markers:
   nothing that the template writes is ever cut.
3. The text of the last answer loses its middle; its beginning, its end and its end marker stay, so that a model still
   learns to stop. Reasoning in front of an answer is cut before the answer itself.

A question is not cut below half of the room because of a long answer, nor an answer because of a long question. A row
in which the system prompt and the markers alone leave no room cannot be cut. A prompt without an answer is cut by the
same rules.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.chat.message import REASONING, Message
from core.engine.template import Rendering, Template
from core.engine.tokenizer import Tokenizer

_ATTEMPTS = 8
"""A cut text may take a token more than was counted, where its halves meet."""

Lengths = Callable[[Sequence[Message]], tuple[int, int]]
"""The tokens of messages before their last answer, and the others."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a row lost, in tokens."""

    turns: int = 0
    question: int = 0
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The most tokens of a row, of all before its last answer, and of that answer with its end."""

    total: int
    source: int | None = None
    target: int | None = None

    def admit(self, source: int, target: int) -> bool:
        return (
            source + target <= self.total
            and source <= (self.source or self.total)
            and target <= (self.target or self.total)
        )

    def shares(self, source: int, target: int) -> tuple[int, int]:
        """How many tokens of either side stay; see the module's text for who gives way."""
        target = min(target, self.target or self.total)
        source = min(source, self.source or self.total)
        if source + target > self.total:
            source = max(self.total - target, min(source, self.total // 2))
            target = self.total - source
        return source, target


def length_of(template: Template, rendering: Rendering) -> tuple[int, int]:
    """The tokens before the last answer, and the others."""
    source = rendering.tokens_of(rendering.answers[-1]).start
    return source, len(ids_of(template, rendering)) - source


def ids_of(template: Template, rendering: Rendering) -> tuple[int, ...]:
    """The ids that are trained; where the template does not end its answers, with the end token behind the last one."""
    if not template.closing_ids:
        return rendering.ids
    return rendering.ids[: rendering.tokens_of(rendering.answers[-1]).stop] + template.closing_ids


def answered_ids(template: Template, rendering: Rendering) -> tuple[int, ...]:
    """Everything up to the last answer and what ends it, and nothing behind: as far as a model that answers gets.

    The last one of them is where a reward is read, in training, in evaluations and while PPO plays.

    Args:
        rendering: with its answers (`loss_mask`).
    """
    return rendering.ids[: rendering.tokens_of(rendering.answers[-1]).stop] + template.closing_ids


def cut_to(
    limits: Limits, template: Template, messages: Sequence[Message], enable_thinking: bool | None
) -> tuple[list[Message], Cut] | None:
    """The messages that fit, and what they lost; None where no cut makes them fit."""

    def lengths(kept: Sequence[Message]) -> tuple[int, int]:
        rendering = template.rendering(
            kept, add_generation_prompt=False, enable_thinking=enable_thinking, loss_mask=True
        )
        return length_of(template, rendering)

    return _cut(limits, template.tokenizer, messages, lengths, texts=2)


def cut_prompt_to(
    most: int, template: Template, messages: Sequence[Message], enable_thinking: bool | None
) -> tuple[list[Message], Cut] | None:
    """The same for a prompt, whose last message is a question: it is to have `most` tokens."""

    def lengths(kept: Sequence[Message]) -> tuple[int, int]:
        return len(template.rendering(kept, enable_thinking=enable_thinking).ids), 0

    return _cut(Limits(most), template.tokenizer, messages, lengths, texts=1)


def _cut(
    limits: Limits, tokenizer: Tokenizer, messages: Sequence[Message], lengths: Lengths, texts: int
) -> tuple[list[Message], Cut] | None:
    """Args: texts: how many of the last messages may be shortened: the question, and the answer behind it."""
    whole = sum(lengths(messages))
    recent = _without_old_turns(limits, list(messages), lengths)
    source, target = lengths(recent)
    turns = whole - source - target
    if limits.admit(source, target):
        return recent, Cut(turns)
    room = limits.shares(source, target)
    counts = [len(tokenizer.encode(message.content)) for message in recent[-texts:]]
    keep = [count - now + most for count, now, most in zip(counts, (source, target), room, strict=False)]
    for _attempt in range(_ATTEMPTS):
        kept = _with_shorter_texts(tokenizer, recent, counts, keep)
        if kept is None:
            return None
        now = lengths(kept)
        if limits.admit(*now):
            return kept, Cut(turns, source - now[0], target - now[1])
        keep = [left - max(0, length - most) for left, length, most in zip(keep, now, room, strict=False)]
    return None


def _with_shorter_texts(
    tokenizer: Tokenizer, messages: list[Message], counts: Sequence[int], keep: Sequence[int]
) -> list[Message] | None:
    """Question and answer at the end with `keep` of their `counts` tokens; None where one of them would vanish."""
    before, texts = messages[: -len(counts)], messages[-len(counts) :]
    for index, (message, count, most) in enumerate(zip(texts, counts, keep, strict=True)):
        if most >= count:
            continue
        if most < 1 or message.role != ("user", "assistant")[index]:
            return None
        shorten = (without_middle, _shorter_answer)[index]
        texts[index] = dataclasses.replace(message, content=shorten(tokenizer, message.content, most))
    return [*before, *texts]


def _without_old_turns(limits: Limits, messages: list[Message], lengths: Lengths) -> list[Message]:
    """As many of the newest exchanges as fit, the last one always."""
    first = 1 if messages[0].role == "system" else 0
    starts = [index for index in range(first, len(messages)) if messages[index].role == "user"] or [first]

    def fits(number: int) -> bool:
        source, target = lengths(messages[:first] + messages[starts[number] :])
        return limits.admit(source, min(target, limits.target or target))

    number = bisect.bisect_left(range(len(starts) - 1), True, key=fits)
    return messages[:first] + messages[starts[number] :]


def without_middle(tokenizer: Tokenizer, text: str, keep: int) -> str:
    """The beginning and the end of a text, about `keep` tokens of it together; the end has the smaller half."""
    offsets = tokenizer.encode_with_offsets(text)[1]
    if len(offsets) <= keep:
        return text
    head, tail = keep - keep // 2, keep // 2
    cut_end = offsets[-tail][0] if tail else len(text)
    # a character of several tokens stays only where its first token does
    cut_start = min(offsets[head][0], cut_end)
    return text[:cut_start] + text[cut_end:]


def _shorter_answer(tokenizer: Tokenizer, text: str, keep: int) -> str:
    """An answer of about `keep` tokens: its reasoning gives way first, then the middle of what it says."""
    reasoning = REASONING.match(text)
    if reasoning is None:
        return without_middle(tokenizer, text, keep)
    thought, said = reasoning.group(), text[reasoning.end() :]
    inner = thought.strip().removeprefix("<think>").removesuffix("</think>")
    left = keep - sum(len(tokenizer.encode(part)) for part in ("<think>", "</think>\n\n", said))
    if left < 1:
        return without_middle(tokenizer, said, keep)
    return f"<think>{without_middle(tokenizer, inner, left)}</think>\n\n{said}"
