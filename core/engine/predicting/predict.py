"""Answering many prompts: whoever finishes leaves the batch, and the next one takes the place.

Prompts are taken longest first, so that rows of one batch are of similar length, what does not fit into memory shows at
once, and the batch that empties at the end is made of short rows. Greedy answers are those of the chat up to near-ties,
drawn ones are those that their seed draws there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.engine.chat_model import ChatModel
from core.engine.predicting.choose import Chooser
from core.engine.predicting.question import Question, Reply
from core.engine.predicting.rows import Rows, open_rows
from core.engine.predicting.writing import Writing
from core.engine.shortage import is_out_of_memory
from core.i18n import _, plural


def predict(
    chat: ChatModel,
    questions: Sequence[Question],
    *,
    batch_size: int | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    on_reply: Callable[[Reply], None],
    on_tokens: Callable[[int], None] = lambda _count: None,
    on_warning: Callable[[str], None] = lambda _message: None,
) -> None:
    """Answer questions, each as soon as it is complete, in whatever order that happens.

    A row that cannot be answered gets a reply with an error, and the others go on. After a stop there are no more
    replies: unfinished answers are nobody's.

    Args:
        batch_size: rows that answer at once; None: as memory allows.
        is_stopped: looked at between two steps.
        on_tokens: told after each step how many tokens it has written; 0 where it read prompts alone.
        on_warning: told when the batch had to be made smaller.
    """
    adapters = dict.fromkeys(question.adapter for question in questions)
    for adapter in adapters:
        asked = [question for question in questions if question.adapter == adapter]
        _Pass(chat, adapter, asked, batch_size, on_reply, on_warning).run(is_stopped, on_tokens)


class _Pass:
    """All questions of one adapter."""

    def __init__(
        self,
        chat: ChatModel,
        adapter: str | None,
        questions: Sequence[Question],
        batch_size: int | None,
        on_reply: Callable[[Reply], None],
        on_warning: Callable[[str], None],
    ) -> None:
        base = chat.base
        self._on_reply, self._on_warning = on_reply, on_warning
        self._chooser = Chooser(base.device)
        self._limit = base.context_length
        writings = [Writing(question, base.context_length, base.tokenizer.decode) for question in questions]
        self._queue = deque(sorted(self._answerable(writings), key=lambda one: len(one.question.ids), reverse=True))
        self._rows: Rows = open_rows(chat, adapter, list(self._queue), batch_size)
        self._places = self._rows.places

    def _answerable(self, writings: Sequence[Writing]) -> list[Writing]:
        for writing in writings:
            if not writing.question.ids:
                self._on_reply(writing.failed(_("the prompt is empty")))
            elif len(writing.question.ids) >= self._limit:
                message = _("the prompt is too long: {tokens} of {context} tokens")
                length = len(writing.question.ids)
                self._on_reply(writing.failed(message.format(tokens=length, context=self._limit)))
        return [one for one in writings if 0 < len(one.question.ids) < self._limit]

    def run(self, is_stopped: Callable[[], bool], on_tokens: Callable[[int], None]) -> None:
        while (self._queue or self._rows.writings) and not is_stopped():
            while self._queue and self._rows.has_place:
                self._rows.join(self._queue.popleft())
            writings, logits = self._step()
            on_tokens(len(writings))
            if writings:
                self._take(writings, logits)

    def _step(self) -> tuple[list[Writing], Tensor]:
        try:
            return self._rows.step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = " ".join(str(error).split())[:300]
        self._make_smaller(message)  # outside of the handler, whose traceback holds on to the tensors
        return [], torch.empty(0)

    def _make_smaller(self, message: str) -> None:
        count = len(self._rows.writings)
        if count == 1:
            (writing,) = self._rows.writings
            self._end(writing, writing.failed(_("out of memory: {error}").format(error=message)))
            self._rows.resize(self._places)  # those that follow are shorter
            return
        self._queue.extendleft(reversed(self._rows.resize(count // 2)))
        rows = plural("{count} row answers", "{count} rows answer", count // 2)
        self._on_warning(_("the batch did not fit into memory; from now on {rows} at once").format(rows=rows))

    def _take(self, writings: Sequence[Writing], logits: Tensor) -> None:
        for writing, error in self._chooser.choose(writings, logits):
            self._end(writing, writing.failed(error))
        for writing in writings:
            if writing.finish_reason is not None:
                self._end(writing, writing.reply())

    def _end(self, writing: Writing, reply: Reply) -> None:
        self._rows.leave(writing)
        self._chooser.forget(writing)
        self._on_reply(reply)
