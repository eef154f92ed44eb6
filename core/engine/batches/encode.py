"""An example as the tokens that are trained: the one way from data to a model.

The ids are those of `Template.rendering`, the same that chat asks a model with. On top of them this module decides
which bear loss, and what becomes of rows that are too long (see `cut`); nothing is cut or left out in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.chat.message import Message
from core.config.data import DataOptions
from core.data.example import Example
from core.engine.batches.batch import EncodedRow
from core.engine.batches.cut import Cut, Limits, cut_to, ids_of, length_of
from core.engine.template import Rendering, Template, prepared
from core.errors import ModelError
from core.runs.plan import LeftOutReason


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example in all its views."""

    row: EncodedRow
    messages: tuple[Message, ...]
    """As they were rendered: with system prompt and prefix, and without what was cut."""
    rendering: Rendering
    cut: Cut | None = None

    @property
    def rows(self) -> tuple[EncodedRow, ...]:
        """As they are stored."""
        return (self.row,)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why an example cannot be trained on."""

    reason: LeftOutReason
    detail: str = ""


def encode(template: Template, example: Example, options: DataOptions) -> Encoded | LeftOut:
    """An example as `options` want it.

    Loss lies on the answers and on what ends them; on the last one only with `mask_history`, on the questions too with
    `train_on_prompt` (both together: on the last question and its answer), and on the messages that the example itself
    names in its weights. Where a template ends its answers by nothing, the tokenizer's end token follows the last one.
    """
    messages = prepared(example.messages, options.default_system, options.source_prefix)
    if not messages or messages[-1].role != "assistant":
        return LeftOut("unanswered")
    weights = (0.0,) * (len(messages) - len(example.messages)) + example.weights if example.weights else ()
    try:
        rendering = _rendered(template, messages, options)
        limits = Limits(options.cutoff_len, options.max_source_length, options.max_target_length)
        cut = None
        if not limits.admit(*length_of(template, rendering)):
            if options.on_long_rows == "drop":
                return LeftOut("too_long")
            fitted = cut_to(limits, template, messages, options.enable_thinking)
            if fitted is None:
                return LeftOut("no_room")
            kept, cut = fitted
            weights = _weights_left(weights, len(messages), len(kept), messages[0].role == "system")
            messages = kept
            rendering = _rendered(template, messages, options)
        ids = np.array(ids_of(template, rendering), dtype=np.int32)
        trained = _trained(template, messages, rendering, weights, options)[: len(ids)]
    except ModelError as error:
        return LeftOut("refused", error.message)
    if not trained[1:].any():
        return LeftOut("untrained")
    return Encoded(EncodedRow(ids, trained), tuple(messages), rendering, cut)


def _rendered(template: Template, messages: Sequence[Message], options: DataOptions) -> Rendering:
    return template.rendering(
        messages, add_generation_prompt=False, enable_thinking=options.enable_thinking, loss_mask=True
    )


def _weights_left(weights: tuple[float, ...], before: int, after: int, has_system: bool) -> tuple[float, ...]:
    """The weights of what is left when the oldest turns are gone."""
    first = 1 if has_system else 0
    return weights[:first] + weights[first + before - after :] if weights else ()


def _trained(
    template: Template,
    messages: Sequence[Message],
    rendering: Rendering,
    weights: tuple[float, ...],
    options: DataOptions,
) -> NDArray[np.bool_]:
    """[length], or longer by what stands behind an answer that the template does not end."""
    closing = len(template.closing_ids)
    trained = np.zeros(len(rendering.ids) + closing, dtype=np.bool_)
    answers = rendering.answers
    last = rendering.tokens_of(answers[-1])
    if options.train_on_prompt:
        history = answers[-2][1] if options.mask_history and len(answers) > 1 else 0
        trained[rendering.tokens_of((history, len(rendering.text)))] = True
    elif weights:
        _apply_weights(trained, template, messages, rendering, weights, options)
    else:
        for answer in answers[-1:] if options.mask_history else answers:
            trained[rendering.tokens_of(answer)] = True
    trained[last.stop : last.stop + closing] = trained[last].any()
    trained[0] = False
    return trained


def _apply_weights(
    trained: NDArray[np.bool_],
    template: Template,
    messages: Sequence[Message],
    rendering: Rendering,
    weights: tuple[float, ...],
    options: DataOptions,
) -> None:
    answers = iter(rendering.answers)
    last = len(messages) - 1
    for index, (message, weight) in enumerate(zip(messages, weights, strict=True)):
        answer = next(answers) if message.role == "assistant" else None
        if not weight or (options.mask_history and index != last):
            continue
        if answer is not None:
            trained[rendering.tokens_of(answer)] = True
        else:
            for content in template.contents(
                messages, [index], rendering.text, enable_thinking=options.enable_thinking
            ):
                trained[rendering.tokens_of(content)] = True
