"""From a test row to the tokens that a model reads: through the one prompt builder, as chats and trainings do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.chat.message import Message
from core.engine.batches.cut import ids_of
from core.engine.chat_model import ChatModel
from core.engine.context import Prompt
from core.engine.evaluating.test_set import TestRow
from core.engine.manner import Manner
from core.engine.predicting.question import Question, Target
from core.errors import PromptTooLong
from core.i18n import _
from core.serve.protocol import Sampling

_ANSWER_SHARE = 4
"""`core.engine.context.fit` keeps a quarter of the context free at most."""


@dataclass(frozen=True)
class Speaking:
    """How one model of an evaluation is asked.

    The user's words go before what the adapter was trained under.
    """

    chat: ChatModel
    adapter: str | None
    default_system: str = ""
    source_prefix: str | None = None
    enable_thinking: bool | None = None
    cutoff_len: int | None = None

    @property
    def manner(self) -> Manner:
        manner = self.chat.manner(self.adapter)
        prefix = manner.source_prefix if self.source_prefix is None else self.source_prefix
        return replace(manner, default_system=self.default_system or manner.default_system, source_prefix=prefix)

    def prompt(self, row: TestRow, max_new_tokens: int) -> Prompt:
        """The tokens of a row's prompt.

        Raises:
            PromptTooLong: its last question alone is too long.
            ModelError: the template cannot render it.
        """
        context = self.chat.base.context_length
        room = context - min(max_new_tokens, context // _ANSWER_SHARE)
        if self.cutoff_len is None or self.cutoff_len >= room:
            return self.manner.prompt(row.messages, context, max_new_tokens, self.enable_thinking)
        try:
            return self.manner.prompt(row.messages, self.cutoff_len, 0, self.enable_thinking)
        except PromptTooLong as error:
            raise PromptTooLong(error.message, _("take a larger cutoff_len, or none")) from error

    def text(self, prompt: Prompt) -> str:
        """What the model reads, special tokens shown."""
        return str(self.chat.base.tokenizer.backend.decode(list(prompt.ids), skip_special_tokens=False))

    def question(self, key: object, prompt: Prompt, sampling: Sampling) -> Question:
        base, template = self.chat.base, self.manner.template
        asked = replace(sampling, stop=sampling.stop + template.stop)
        return Question(key, prompt.ids, base.end_ids | template.end_ids, asked, self.adapter)

    def target(self, key: object, row: TestRow, dropped: Sequence[int]) -> Target | None:
        """The reference answer behind its prompt, as a training reads it; None where it has no place."""
        kept = [message for index, message in enumerate(row.messages) if index not in dropped]
        asked = self.manner.messages([*kept, Message("assistant", row.label)])
        rendering = self.manner.template.rendering(
            asked,
            add_generation_prompt=False,
            enable_thinking=self.manner.thinks(self.enable_thinking),
            loss_mask=True,
        )
        if not rendering.answers:
            return None
        answer = rendering.tokens_of(rendering.answers[-1])
        end = answer.stop + len(self.manner.template.closing_ids)
        ids = tuple(ids_of(self.manner.template, rendering)[:end])
        if not 0 < answer.start < len(ids) <= self.chat.base.context_length:
            return None
        return Target(key, ids, answer.start, self.adapter)
