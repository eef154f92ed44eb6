"""Answering several rows together: the token loop.

Every step gives each decoding row one token and spends what is left of the step on prompts, in their order. A stop is
looked at between two steps, so neither a long prompt nor a long answer delays it by more than one of them. Rows leave
when they are complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from core.engine.answer import Answer
from core.engine.segment import Runner, Segment
from core.serve.protocol import Finished, Reply

TOKENS_PER_STEP = 256


def answer_together(
    runner: Runner,
    answers: Sequence[Answer],
    emit: Callable[[Reply], None],
    is_stopped: Callable[[], bool],
    finish: Callable[[Answer], Finished],
) -> None:
    """Run answers to their ends, telling of each part.

    Args:
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
            _step(runner, running)
        now = time.monotonic()
        for answer in running:
            for text in answer.texts(now):
                emit(text)
        for answer in [answer for answer in running if answer.finish_reason is not None]:
            running.remove(answer)
            emit(finish(answer))


def _step(runner: Runner, answers: Sequence[Answer]) -> None:
    """One forward pass over all rows that have a place in it."""
    decoding = [answer for answer in answers if not answer.is_prefilling]
    prefilling = [answer for answer in answers if answer.is_prefilling]
    left = max(TOKENS_PER_STEP - len(decoding), 1)
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
