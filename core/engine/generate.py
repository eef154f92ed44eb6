"""Answering several rows together: the token loop.

Every step gives each decoding row one token and spends what is left of the step on prompts, in their order. A stop is
looked at between two steps, so neither a long prompt nor a long answer delays it by more than one of them; a step is
the smaller the slower the model is on its device. Rows leave when they are complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from core.engine.answer import Answer
from core.engine.segment import Runner, Segment
from core.serve.protocol import Finished, Reply

MOST_TOKENS_PER_STEP = 256
_FEWEST_TOKENS_PER_STEP = 16
_PRODUCTS_PER_STEP_AND_THREAD = 50e9
"""About a second's work of one CPU core in float32: a stop has to be honoured within two."""


def tokens_per_step(parameters: int, threads: int, is_cpu: bool) -> int:
    """How many tokens of prompts a step may read. A matter of size, not of the clock: chunks move the last bits."""
    if not is_cpu:
        return MOST_TOKENS_PER_STEP
    affordable = int(_PRODUCTS_PER_STEP_AND_THREAD * threads / max(parameters, 1))
    return min(max(affordable, _FEWEST_TOKENS_PER_STEP), MOST_TOKENS_PER_STEP)


def answer_together(
    runner: Runner,
    answers: Sequence[Answer],
    step_tokens: int,
    emit: Callable[[Reply], None],
    is_stopped: Callable[[], bool],
    finish: Callable[[Answer], Finished],
) -> None:
    """Run answers to their ends, telling of each part.

    Args:
        step_tokens: see `tokens_per_step`.
        emit: where replies go.
        is_stopped: whether the user wants an end.
        finish: called once for each answer when it is complete; its reply is the answer's last.
    """
    running = list(answers)
    while running:
        if is_stopped():
            for answer in running:
                answer.end("stopped")
        else:
            _step(runner, running, step_tokens)
        now = time.monotonic()
        for answer in running:
            for text in answer.texts(now):
                emit(text)
        for answer in [answer for answer in running if answer.finish_reason is not None]:
            running.remove(answer)
            emit(finish(answer))


def _step(runner: Runner, answers: Sequence[Answer], step_tokens: int) -> None:
    """One forward pass over all rows that have a place in it."""
    decoding = [answer for answer in answers if not answer.is_prefilling]
    prefilling = [answer for answer in answers if answer.is_prefilling]
    left = max(step_tokens - len(decoding), 1)
    segments, waiting = [], []
    for answer in decoding + prefilling:
        if left <= 0 and answer.is_prefilling:
            break
        ids, wants_logits = answer.next_ids(left if answer.is_prefilling else 1)
        left -= len(ids) if answer.is_prefilling else 0
        segments.append(Segment(answer.row, ids, answer.adapter, wants_logits))
        if wants_logits:
            waiting.append(answer)
    logits = runner.forward(segments)
    now = time.monotonic()
    for answer, row in zip(waiting, logits, strict=False):
        answer.take(row, now)
