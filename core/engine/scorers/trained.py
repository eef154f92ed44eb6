"""A reward model as a scorer: one number at the end of the answer, without dropout.

A language model with a value head stands in float32 on what the decoder gives behind the last token that the model
itself would write, where its training read it. The conversation is rendered anew in the reward model's own manner:
template, system prompt and prefix are those that it was trained under, whatever the policy's are. An adapter on the
policy's own base is one more set of factors beside it; nothing of the policy, its value head least of all, is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.chat.message import Message
from core.engine.batches.cut import answered_ids
from core.engine.chat_model import ChatModel
from core.engine.control import never
from core.engine.manner import Manner
from core.engine.predicting.likelihood import end_states
from core.engine.scorers.scorer import Asked
from core.engine.tuning.headed import BIAS, WEIGHT
from core.errors import ModelError, ScoringFailed
from core.i18n import _, plural
from core.models.reward_source import VALUE_HEAD, RewardKind

Reading = Callable[[Sequence[Sequence[int]]], Iterator[float | None]]
"""Tokens of texts to the numbers at their ends; None where memory does not suffice for one."""


@dataclass(frozen=True)
class TrainedScorer:
    """Scores by a reward model."""

    name: str
    kind: RewardKind
    manner: Manner
    context_length: int
    read: Reading

    def scores(self, conversations: Sequence[Sequence[Message]]) -> Iterator[float | None]:
        """The score of each conversation that ends in an answer; None for one that is longer than the context, or than
        memory allows."""
        texts = [judged_ids(self.manner, messages) for messages in conversations]
        read = self.read([ids for ids in texts if self._fits(ids)])
        for ids in texts:
            yield next(read) if self._fits(ids) else None

    def _fits(self, ids: Sequence[int]) -> bool:
        return 0 < len(ids) <= self.context_length

    def score(self, asked: Sequence[Asked], is_stopped: Callable[[], bool] = never) -> list[float]:
        """See `Scorer`."""
        scores = self.scores([(*one.messages, Message("assistant", one.answer)) for one in asked])
        found = list(takewhile(lambda _score: not is_stopped(), scores))
        lacking = sum(score is None for score in found)
        if lacking:
            many = plural("{count} answer is", "{count} answers are", lacking)
            what = _("{many} too long for the reward model {name}, or for the memory").format(many=many, name=self.name)
            raise ScoringFailed(what, _("take a smaller max_source_length or max_new_tokens"))
        return [score for score in found if score is not None]


@dataclass(frozen=True, slots=True)
class JudgedText:
    """A conversation that ends in an answer, as its reward model reads it: up to what ends the answer."""

    ids: Sequence[int]
    prompt: int
    """How many of them stand before the answer."""


def judged_ids(manner: Manner, messages: Sequence[Message]) -> Sequence[int]:
    """The tokens of a judged text."""
    return judged_text(manner, messages).ids


def judged_text(manner: Manner, messages: Sequence[Message]) -> JudgedText:
    """A conversation in the manner of its reward model."""
    template = manner.template
    rendering = template.rendering(
        manner.messages(messages),
        add_generation_prompt=False,
        enable_thinking=manner.enable_thinking,
        loss_mask=True,
    )
    if not rendering.answers:
        return JudgedText(rendering.ids, 0)
    return JudgedText(answered_ids(template, rendering), rendering.tokens_of(rendering.answers[-1]).start)


def by_value_head(chat: ChatModel, adapter: str | None, folder: Path) -> Reading:
    """The head of a folder over a language model, or over one with its adapter.

    Raises:
        ModelError: the head cannot be read.
    """
    try:
        head = load_file(folder / VALUE_HEAD, device=str(chat.base.device))
        weight, bias = head[WEIGHT].float(), head[BIAS].float() if BIAS in head else None
    except (OSError, SafetensorError, KeyError) as error:
        told = _("{path} cannot be read: {error}")
        raise ModelError(told.format(path=folder / VALUE_HEAD, error=error)) from error

    def read(texts: Sequence[Sequence[int]]) -> Iterator[float | None]:
        for state in end_states(chat, texts, adapter):
            yield None if state is None else _value(state, weight, bias)

    return read


@torch.inference_mode()
def _value(state: Tensor, weight: Tensor, bias: Tensor | None) -> float:
    with torch.autocast(state.device.type, enabled=False):
        return F.linear(state.float(), weight, bias)[0].item()
