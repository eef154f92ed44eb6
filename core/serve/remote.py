"""Asking a served model: one question, or a whole test set with several requests under way.

A request that fails in passing (no connection, 408, 409, 429, 5xx, a stream that breaks) is asked again, a bounded
number of times, with growing pauses that a `Retry-After` lengthens; a part of a broken answer is never an answer.
What no question would survive (a wrong key, an unknown model, a server that is gone) ends the whole asking, so that
what is not answered yet can be asked later instead of being written down as failed.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.chat.message import REASONING, FinishReason, Message
from core.errors import FinetuiError, ServerError, ServerUnreachable, did_you_mean
from core.i18n import _
from core.serve.protocol import Sampling
from core.serve.remote_address import Server
from core.serve.remote_http import Call
from core.serve.remote_stream import Answering, End, Part, answer_parts
from core.untrusted import inert_line

_LONGEST_PAUSE = 60.0
_MOST_OF_A_LIST = 4 << 20
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RemoteQuestion:
    """What a served model is asked."""

    key: Any
    """The caller's; comes back with the answer."""
    messages: tuple[Message, ...]
    sampling: Sampling
    enable_thinking: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """What came of a question."""

    key: Any
    text: str = ""
    """As the server gives it; a server that does not take thinking apart leaves it in here."""
    thinking: str = ""
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0
    """Both as the server counts; 0 where it does not say."""
    tries: int = 1
    error: str = ""
    """Why there is no answer; then there is no text either."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One of a server's models."""

    name: str
    context_length: int = 0
    """0: the server does not say."""


def served_models(server: Server) -> list[ServedModel]:
    """Which models a server has.

    Raises:
        ServerError: it gives no list.
    """
    call = Call(server)
    try:
        call.send("GET", "/models")
        record = json.loads(call.whole(_MOST_OF_A_LIST))
        entries = record["data"] if isinstance(record, dict) else record
        return [
            ServedModel(entry["id"], length if type(length := entry.get("max_model_len")) is int else 0)
            for entry in entries
            if isinstance(entry["id"], str) and entry["id"].isprintable()
        ]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ServerError(
            _("{host} gives no list of its models").format(host=server.host),
            _("is api_base the address of an OpenAI-compatible server? It usually ends in /v1"),
            for_all=True,
        ) from None
    finally:
        call.close()


def resolved(server: Server) -> tuple[Server, ServedModel]:
    """The server with its model named: the one asked for, else the only one there is.

    A server that keeps no list is believed to have the model that was asked for.

    Raises:
        ServerError: it cannot be reached, refuses the key, has no such model, or several to choose from.
    """
    try:
        models = served_models(server)
    except ServerUnreachable:
        raise
    except ServerError as error:
        if not server.model or server.key_variable in error.hint:
            raise
        models = []
    if server.model and (not models or server.model in (model.name for model in models)):
        named = next((model for model in models if model.name == server.model), ServedModel(server.model))
        return server, named
    if not server.model and len(models) == 1:
        return replace(server, model=models[0].name), models[0]
    raise _which(server, [model.name for model in models])


def _which(server: Server, names: Sequence[str]) -> ServerError:
    listed = _("it has: {names}").format(names=inert_line(", ".join(names[:20]) or _("none")))
    if not server.model:
        told = _("{host} serves {n} models: which one?").format(host=server.host, n=len(names))
        return ServerError(told, _("{listed}; name one with api_model").format(listed=listed), for_all=True)
    told = _("{host} has no model {name}").format(host=server.host, name=inert_line(server.model))
    near = did_you_mean(server.model, names)
    return ServerError(told, f"{near} {listed}".strip(), for_all=True)


def sent_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The conversation as a request has it; what the model thought in earlier answers is left out."""
    return [
        {"role": one.role, "content": REASONING.sub("", one.content) if one.role == "assistant" else one.content}
        for one in messages
    ]


class Dialect:
    """What a server turned out not to take, learned once and then left out for everybody."""

    def __init__(self) -> None:
        self.streams_usage = True
        self.tokens_word = "max_tokens"

    def body(self, server: Server, question: RemoteQuestion) -> dict[str, Any]:
        """The request. What says nothing is left out: strict servers refuse words that OpenAI's own does not know."""
        sampling = question.sampling
        body: dict[str, Any] = {
            "model": server.model,
            "messages": sent_messages(question.messages),
            "stream": True,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            self.tokens_word: sampling.max_new_tokens,
        }
        if self.streams_usage:
            body["stream_options"] = {"include_usage": True}
        if sampling.temperature > 0:
            drawing = {"top_p": (sampling.top_p, 1.0), "top_k": (sampling.top_k, 0), "min_p": (sampling.min_p, 0.0)}
            body |= {name: value for name, (value, neutral) in drawing.items() if value != neutral}
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if question.enable_thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": question.enable_thinking}
        return body

    def learn(self, error: ServerError, body: Mapping[str, Any]) -> bool:
        """Whether the refusal names a word of this request that can be said otherwise."""
        if error.passing:
            return False
        if "stream_options" in body and "stream_options" in error.message:
            self.streams_usage = False
            return True
        if "max_tokens" in body and "max_completion_tokens" in error.message:
            self.tokens_word = "max_completion_tokens"
            return True
        return False


@dataclass(slots=True)
class Asking:
    """One question on its way through its tries. `abort` may be called from any thread."""

    server: Server
    question: RemoteQuestion
    dialect: Dialect = field(default_factory=Dialect)
    tries: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _call: Call | None = None
    _body: Mapping[str, Any] = field(default_factory=dict)

    def abort(self) -> None:
        """Hang up, or end the pause between two tries."""
        self._stopped.set()
        if self._call is not None:
            self._call.abort()

    @property
    def aborted(self) -> bool:
        return self._stopped.is_set()

    def stream(self) -> Answering:
        """The parts of the answer as they come; tried again only as long as none has come.

        Raises:
            ServerError: no answer, or not all of it.
        """
        while True:
            came = False
            try:
                for part in self._parts():
                    came = True
                    yield part
                return
            except ServerError as error:
                if came or not self._again(error):
                    raise

    def reply(self) -> RemoteReply:
        """The whole answer; parts of one that broke off are thrown away.

        Raises:
            ServerError: none.
        """
        while True:
            try:
                *parts, end = self._parts()
            except ServerError as error:
                if not self._again(error):
                    raise
            else:
                assert isinstance(end, End)
                said = [part for part in parts if isinstance(part, Part)]
                return RemoteReply(
                    self.question.key,
                    "".join(part.text for part in said),
                    "".join(part.thinking for part in said),
                    end.finish_reason,
                    end.prompt_tokens,
                    end.answer_tokens,
                    self.tries,
                )

    def _parts(self) -> Answering:
        self.tries += 1
        self._call = call = Call(self.server)
        if self.aborted:
            call.abort()
        try:
            self._body = self.dialect.body(self.server, self.question)
            call.send("POST", "/chat/completions", self._body)
            yield from answer_parts(call, self.question.sampling.max_new_tokens)
        finally:
            call.close()

    def _again(self, error: ServerError) -> bool:
        """Whether to try again; waits before it says yes."""
        if self.aborted:
            return False
        if self.dialect.learn(error, self._body):
            return True
        if not error.passing or self.tries > self.server.retries:
            return False
        pause = min(self.server.first_pause * 3 ** (self.tries - 1), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)
        return not self._stopped.wait(max(pause, error.pause))


def ask_all(
    server: Server,
    questions: Iterable[RemoteQuestion],
    *,
    on_reply: Callable[[RemoteReply], None],
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Ask every question, `server.concurrency` at once; replies come in the order in which they are ready.

    Both callbacks and the questions' iterator are called from this thread. A question that gets no answer has its
    reason in the reply. Returns early when `is_stopped`; what was under way then has no reply.

    Raises:
        ServerError: nobody would be answered; questions without a reply can be asked again later.
    """
    _Crowd(server, iter(questions), on_reply).run(is_stopped)


class _Crowd:
    """The questions that are under way, a thread each."""

    def __init__(
        self, server: Server, questions: Iterator[RemoteQuestion], on_reply: Callable[[RemoteReply], None]
    ) -> None:
        self.server, self.questions, self.on_reply = server, questions, on_reply
        self.dialect = Dialect()
        self.running: set[int] = set()
        self.asked: dict[int, Asking] = {}
        self.ended: queue.Queue[tuple[int, RemoteReply | BaseException]] = queue.Queue()
        self.lost: list[tuple[Any, ServerUnreachable]] = []
        """Questions that found nobody since the last answer came: perhaps it is not their fault."""
        self.count = 0

    def run(self, is_stopped: Callable[[], bool]) -> None:
        try:
            while self._fill() and not is_stopped():
                with contextlib.suppress(queue.Empty):
                    self._take(*self.ended.get(timeout=_LOOK_SECONDS))
            if not self.asked:
                self._tell_lost(over=True)
        finally:
            for asking in list(self.asked.values()):
                asking.abort()

    def _fill(self) -> bool:
        """Start as many as there is room for; whether any are under way."""
        while len(self.asked) < self.server.concurrency:
            question = next(self.questions, None)
            if question is None:
                break
            self.count += 1
            asking = self.asked[self.count] = Asking(self.server, question, self.dialect)
            threading.Thread(target=self._ask, args=(self.count, asking), daemon=True).start()
        return bool(self.asked)

    def _ask(self, number: int, asking: Asking) -> None:
        outcome: RemoteReply | BaseException
        try:
            outcome = asking.reply()
        except BaseException as error:
            outcome = error
        self.ended.put((number, outcome))

    def _take(self, number: int, outcome: RemoteReply | BaseException) -> None:
        asking = self.asked.pop(number)
        match outcome:
            case RemoteReply():
                self._tell_lost()
                self.on_reply(outcome)
            case ServerUnreachable():
                self.lost.append((asking.question.key, outcome))
                if len(self.lost) >= 2 * self.server.concurrency:
                    raise outcome
            case ServerError() if not outcome.for_all:
                self._tell_lost()
                self.on_reply(RemoteReply(asking.question.key, tries=asking.tries, error=_told(outcome)))
            case _defect_or_hopeless:
                raise outcome

    def _tell_lost(self, over: bool = False) -> None:
        """Somebody was there again: those that found nobody before it have their error."""
        if over and self.lost:
            raise self.lost[-1][1]
        lost, self.lost = self.lost, []
        for key, error in lost:
            self.on_reply(RemoteReply(key, tries=self.server.retries + 1, error=_told(error)))


def _told(error: FinetuiError) -> str:
    return str(error)
