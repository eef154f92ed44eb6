"""What a model makes of texts that are given: how likely it finds reference answers, the letters of a multiple choice,
single tokens; and what it holds at their ends, where reward models look.

Nothing is written, so nothing has to be kept: what all texts begin with is read once, and every text behind it attends
to that beginning and to itself, in the same memory one after another. So what a text has in common with the one before
it (two answers to one question) lies there already, and is not read again. Losses are computed in float32.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from core.engine.cache import KeyValueRow, common_prefix
from core.engine.chat_model import ChatModel
from core.engine.fused import FusedModel, Step
from core.engine.predicting.question import Likelihood, Target
from core.engine.predicting.room import step_tokens
from core.engine.segment import Segment
from core.engine.shortage import if_memory_suffices
from core.engine.span import Span

_LOGITS_AT_ONCE = 1 << 24
"""64 MiB of them."""


def likelihoods(
    chat: ChatModel, targets: Sequence[Target], *, is_stopped: Callable[[], bool] = lambda: False
) -> Iterator[Likelihood]:
    """The losses of continuations; after a stop there are no more.

    A text that is longer than the model's context, of which nothing is asked for, or that does not fit into memory even
    by itself, has a loss of NaN over 0 tokens.
    """
    readable = []
    for target in targets:
        if 0 < target.start < len(target.ids) <= chat.base.context_length:
            readable.append(target)
        else:
            yield Likelihood(target.key, math.nan, 0)
    for adapter in dict.fromkeys(target.adapter for target in readable):
        asked = [target for target in readable if target.adapter == adapter]
        texts = [_Text(target.ids, target.start - 1, len(target.ids) - 1) for target in asked]
        for target, hidden in zip(asked, _read(chat, texts, adapter, is_stopped), strict=False):
            if hidden is None:
                yield Likelihood(target.key, math.nan, 0)
            else:
                yield Likelihood(target.key, _loss(hidden, target), len(target.ids) - target.start)


def next_token_probabilities(
    chat: ChatModel,
    prompts: Sequence[Sequence[int]],
    candidates: Sequence[int],
    adapter: str | None = None,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[float, ...] | None]:
    """The probability of each candidate token behind each prompt, among the candidates: they sum to 1.

    They come in the prompts' order; None for a prompt that does not fit into memory; after a stop there are no more.
    """
    texts = [_Text(tuple(prompt), len(prompt) - 1, len(prompt)) for prompt in prompts]
    chosen = torch.tensor(list(candidates), device=chat.base.device)
    for rows in _read(chat, texts, adapter, is_stopped):
        if rows is None:
            yield None
            continue
        (logits,) = rows.blocks()
        yield tuple(logits[0, chosen].softmax(-1).tolist())


def token_log_probabilities(
    chat: ChatModel, texts: Sequence[tuple[Sequence[int], Sequence[int]]], adapter: str | None, temperature: float
) -> Iterator[Tensor | None]:
    """The log-probability of some tokens of each text, float32 [tokens], in nats.

    Args:
        texts: tokens, and which of them are asked for: their places, ascending, none of them the first.

    Yields:
        None for a text that does not fit into memory even by itself.
    """
    asked = [_Text(tuple(ids), places[0] - 1, places[-1]) for ids, places in texts]
    for (ids, places), rows in zip(texts, _read(chat, asked, adapter, lambda: False), strict=True):
        if rows is None:
            yield None
            continue
        behind = torch.tensor([place - places[0] for place in places], device=rows.hidden.device)
        labels = torch.tensor([ids[place] for place in places], device=rows.hidden.device)
        found, at = [], 0
        for logits in replace(rows, hidden=rows.hidden[behind]).blocks():
            wanted = labels[at : at + len(logits), None]
            found.append((logits / temperature).log_softmax(-1).gather(1, wanted)[:, 0])
            at += len(logits)
        yield torch.cat(found)


def end_states(chat: ChatModel, texts: Sequence[Sequence[int]], adapter: str | None) -> Iterator[Tensor | None]:
    """The decoder's output at each text's last token [hidden]; None for a text that does not fit into memory."""
    fused = chat.base.fused
    if fused is None or not chat.is_fused(adapter):
        for ids in texts:
            yield if_memory_suffices(partial(chat.base.stock.end_state, ids, adapter))
        return
    asked = [_Text(tuple(ids), len(ids) - 1, len(ids)) for ids in texts]
    for hidden in _read_together(fused, asked, adapter, step_tokens(chat), lambda: False):
        yield None if hidden is None else fused.normed(hidden)[0]


@dataclass(frozen=True, slots=True)
class _Text:
    ids: tuple[int, ...]
    begin: int
    """The first token behind which logits are wanted."""
    end: int
    """Behind the last one."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What stands behind the wanted tokens of one text, not yet as logits: a large vocabulary takes much room."""

    hidden: Tensor
    logits: Callable[[Tensor], Tensor]
    vocabulary: int

    def blocks(self) -> Iterator[Tensor]:
        """float32 logits [some, vocabulary], a part of the tokens at a time."""
        for part in torch.split(self.hidden, max(1, _LOGITS_AT_ONCE // self.vocabulary)):
            yield self.logits(part)


def _loss(rows: _Rows, target: Target) -> float:
    """Mean negative log-likelihood of the continuation, in nats."""
    labels = torch.tensor(target.ids[target.start :], device=rows.hidden.device)
    total, at = 0.0, 0
    for logits in rows.blocks():
        total += F.cross_entropy(logits, labels[at : at + len(logits)], reduction="sum").item()
        at += len(logits)
    return total / len(labels)


def _read(
    chat: ChatModel, texts: Sequence[_Text], adapter: str | None, is_stopped: Callable[[], bool]
) -> Iterator[_Rows | None]:
    """Each text in order, read by whoever serves the adapter; None for one that memory does not suffice for."""
    vocabulary = chat.base.network.config.get_text_config().vocab_size
    fused = chat.base.fused
    if fused is None or not chat.is_fused(adapter):
        for text in texts:
            if is_stopped():
                return
            whole = partial(chat.base.stock.read_whole, text.ids[: text.end], text.end - text.begin, adapter)
            logits = if_memory_suffices(whole)
            yield None if logits is None else _Rows(logits, lambda given: given, vocabulary)
        return
    for hidden in _read_together(fused, texts, adapter, step_tokens(chat), is_stopped):
        yield None if hidden is None else _Rows(hidden, fused.logits, vocabulary)


def _read_together(
    model: FusedModel, texts: Sequence[_Text], adapter: str | None, most: int, is_stopped: Callable[[], bool]
) -> Iterator[Tensor | None]:
    """Hidden states [wanted, hidden] of each text, steps of about `most` tokens: of half as many whenever memory does
    not suffice, and None for a text that it does not suffice for alone."""
    row = model.new_row()
    row.reserve(max((text.end for text in texts), default=0))  # growing would lose what it does not remember
    shared = _shared(texts)
    while len(row.tokens) < len(shared) and most and not is_stopped():
        segment = Segment(row, shared[len(row.tokens) :][:most], adapter, wants_logits=False)
        if if_memory_suffices(partial(model.forward, [segment])) is None:
            most //= 2
    waiting, before = deque(texts), None
    while waiting and not is_stopped():
        together = _taken(waiting, before, len(shared), most)
        found = if_memory_suffices(partial(_one_step, model, row, together, adapter)) if most else None
        before = together[-1].text if found is not None else None
        if found is not None:
            yield from found
        elif len(together) > 1:
            most = sum(one.count for one in together) // 2
            waiting.extendleft(one.text for one in reversed(together))
        else:
            yield None


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left to read of a text."""

    text: _Text
    start: int
    """Its first token that is not in the row yet."""

    @property
    def count(self) -> int:
        return self.text.end - self.start


def _taken(waiting: deque[_Text], before: _Text | None, shared: int, most: int) -> list[_Rest]:
    """The next texts for one step, at least one.

    Args:
        before: the text that the row holds.
    """
    together: list[_Rest] = []
    count = 0
    while waiting:
        rest = _Rest(waiting[0], _start(before, waiting[0], shared))
        count += rest.count
        if together and count > most:
            break
        together.append(rest)
        before = waiting.popleft()
    return together


def _start(before: _Text | None, text: _Text, shared: int) -> int:
    if before is None:
        return shared
    return max(shared, min(common_prefix(before.ids, text.ids), before.end, text.begin))


def _shared(texts: Sequence[_Text]) -> list[int]:
    """What all texts begin with, before anything that is wanted."""
    if len(texts) < 2:
        return []
    first, last = min(text.ids for text in texts), max(text.ids for text in texts)
    return list(first[: min(common_prefix(first, last), min(text.begin for text in texts))])


def _one_step(model: FusedModel, row: KeyValueRow, rests: Sequence[_Rest], adapter: str | None) -> Sequence[Tensor]:
    """Several texts behind what the row holds, which each of them writes over in every layer from its start on."""
    at = 0
    spans: list[Span] = []
    for rest in rests:
        spans.append(model.span(row, rest.count, at, rest.start))
        at += rest.count
    texts = [rest.text for rest in rests]
    step = Step(
        ids=[token for rest in rests for token in rest.text.ids[rest.start : rest.text.end]],
        positions=torch.cat([torch.arange(rest.start, rest.text.end) for rest in rests]).to(model.geometry.device),
        longest=max(text.end for text in texts),
        parts=spans,
        adapted=[] if adapter is None else [(slice(0, at), model.adapters[adapter])],
        wanted=[
            span.rows.start + n - rest.start
            for span, rest in zip(spans, rests, strict=True)
            for n in range(rest.text.begin, rest.text.end)
        ],
    )
    return torch.split(model.hidden(step), [text.end - text.begin for text in texts])
