"""A served model of an evaluation: asked over HTTP, several rows at once, without torch.

The server makes the prompt, so what a row says about it is the conversation that was sent. A row that gets no answer
has the reason; when the server as a whole is gone or refuses, the run fails, and goes on later where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core.chat.message import Message
from core.config.evaluation import EvaluatedDataOptions, PredictionOptions
from core.config.load import Settings
from core.config.remote import RemoteOptions
from core.engine.diary import Diary
from core.engine.evaluating.answering import (
    IsStopped,
    OnAnswer,
    OnTokens,
    Wanted,
    sampling_of,
    shown_conversation,
    unanswered,
    with_text,
)
from core.engine.evaluating.test_set import TestRow
from core.engine.template import prepared
from core.errors import UsageError
from core.i18n import _
from core.report.prediction import Prediction
from core.report.report import Subject
from core.runs.events import ModelReady
from core.serve.remote import RemoteQuestion, RemoteReply, ask_all, resolved
from core.serve.remote_address import Server, server_of


@dataclass
class ServedAnswerer:
    """One model of a server."""

    server: Server
    settings: Settings
    loading_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def find(cls, settings: Settings, diary: Diary) -> ServedAnswerer:
        """The server's model.

        Raises:
            ServerError: it cannot be reached, refuses the key, or has no such model.
        """
        diary.stage("loading")
        began, server = time.monotonic(), server_of(settings[RemoteOptions])
        assert server is not None
        server, _model = resolved(server)
        diary.tell(ModelReady(time.time(), server.label, "", 0, 0, "", "", choices=(_("served"),)))
        note = _("the server made the prompts; its number format is not known")
        return cls(server, settings, time.monotonic() - began, (note,))

    @property
    def subject(self) -> Subject:
        return Subject(name=self.server.label, model=self.server.model, path=self.server.api_base)

    def memory(self) -> int:
        return 0

    def answer(self, wanted: Sequence[Wanted], on_answer: OnAnswer, on_tokens: OnTokens, is_stopped: IsStopped) -> None:
        """See `Answerer`."""
        asked = {(row.number, repeat): (row, repeat) for row, repeat in wanted}

        def take(reply: RemoteReply) -> None:
            on_tokens(reply.answer_tokens)
            on_answer(_answered(*asked[reply.key], self._messages(asked[reply.key][0]), reply))

        ask_all(self.server, self._questions(wanted), on_reply=take, is_stopped=is_stopped)

    def _questions(self, wanted: Sequence[Wanted]) -> Iterator[RemoteQuestion]:
        options = self.settings[PredictionOptions]
        for row, repeat in wanted:
            if row.letters:
                what = _("choices are told by probabilities, which the server does not give")
                raise UsageError(what, _("give task answers, or load the model here"))
            sampling = sampling_of(options, row.number, repeat)
            yield RemoteQuestion((row.number, repeat), self._messages(row), sampling, options.enable_thinking)

    def _messages(self, row: TestRow) -> tuple[Message, ...]:
        prefix = self.settings[EvaluatedDataOptions].source_prefix or ""
        return tuple(prepared(row.messages, self.settings[PredictionOptions].default_system, prefix))

    def judge(self, answers: Sequence[Prediction], rows: Sequence[TestRow], is_stopped: IsStopped) -> list[Prediction]:
        """See `Answerer`: a server tells no likelihoods."""
        return []


def _answered(row: TestRow, repeat: int, messages: Sequence[Message], reply: RemoteReply) -> Prediction:
    blank = replace(
        unanswered(row, repeat, shown_conversation(messages)),
        prompt_tokens=reply.prompt_tokens,
        tokens=reply.answer_tokens,
    )
    if reply.error:
        return replace(blank, error=reply.error)
    return with_text(replace(blank, finish_reason=reply.finish_reason), reply.text, reply.thinking)
