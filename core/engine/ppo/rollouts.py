"""Answers that the policy draws, by the batched generator.

Sampling is pure, temperature alone: whatever else would be done to the probabilities, the policy would learn from
answers that are not its own. A draw depends on the seed and on the prompt's place among the prompts, not on who else is
answered at the same time; so a run that is resumed draws what the uninterrupted one drew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from core.engine.beside.policy_runner import POLICY, PolicyRunner
from core.engine.control import never
from core.engine.ppo.experience import Answer
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply
from core.errors import TrainingError
from core.i18n import _
from core.serve.protocol import Sampling


class Roller:
    """Draws answers to prompts.

    Args:
        batch_size: answers that are written at once; not given: as many as memory allows.
        on_warning: told what memory was short for.
    """

    def __init__(
        self,
        policy: PolicyRunner,
        *,
        temperature: float,
        max_new_tokens: int,
        batch_size: int | None = None,
        on_warning: Callable[[str], None] = lambda _message: None,
    ) -> None:
        self._policy, self._on_warning = policy, on_warning
        self._temperature, self._longest = temperature, max_new_tokens
        self._batch_size = batch_size

    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        places: Sequence[int] | None = None,
        is_stopped: Callable[[], bool] = never,
    ) -> list[Answer]:
        """An answer of the policy as it is now to each prompt, in their order.

        Args:
            prompts: as tokens, up to where an answer begins. The same one several times gets several answers.
            places: where each stands among all prompts of the seed, of which these are some; not given: these are all.
            is_stopped: looked at between two tokens; after a stop those answers are given that are complete.

        Raises:
            TrainingError: a prompt leaves no room for an answer, or there is no answer for want of memory or numbers.
        """
        replies: dict[int, Reply] = {}

        def take(reply: Reply) -> None:
            if reply.error:
                raise TrainingError(_("an answer could not be drawn: {error}").format(error=reply.error))
            replies[reply.key] = reply

        with self._policy.answering() as chat:
            numbered = enumerate(prompts) if places is None else zip(places, prompts, strict=True)
            questions = [self._question(n, prompt, seed) for n, prompt in numbered]
            predict(
                chat,
                questions,
                batch_size=self._batch_size,
                is_stopped=is_stopped,
                on_reply=take,
                on_warning=self._on_warning,
            )
        return [_drawn(replies[question.key], question) for question in questions if question.key in replies]

    def _question(self, number: int, prompt: Sequence[int], seed: int) -> Question:
        base = self._policy.base
        sampling = Sampling(
            temperature=self._temperature,
            seed=row_seed(seed, number),
            max_new_tokens=self._longest,
            stop=base.template.stop,
        )
        return Question(number, tuple(map(int, prompt)), base.end_ids, sampling, POLICY)


def row_seed(seed: int, number: int) -> int:
    """A row's own seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:7], "big")


def _drawn(reply: Reply, question: Question) -> Answer:
    return Answer(question.ids, reply.ids, reply.text, reply.finish_reason == "stop")
