"""A served model behind the chat worker's pipe: `python -P -m core.serve.relay SERVER`, SERVER being a JSON object.

The app speaks `core.serve.protocol` with it as with a model of its own, so columns, stopping, errors and the death of
a process are one thing for both; no torch is imported here. The prompt is made by the server: what stands in the
place of a rendering is the conversation as it is sent.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeAlias, assert_never

from core.chat.message import FinishReason, Usage
from core.errors import FinetuiError, ServerError, UsageError
from core.i18n import _
from core.serve.protocol import (
    Done,
    ErrorKind,
    Failed,
    Finished,
    Generate,
    Load,
    LoadAdapter,
    Loaded,
    Render,
    Rendered,
    Reply,
    Row,
    Started,
    Status,
    StatusReport,
    Text,
    Unload,
    UnloadAdapter,
)
from core.serve.remote import Asking, Dialect, RemoteQuestion, ServedModel, resolved, sent_messages
from core.serve.remote_address import CONNECT_SECONDS, Server
from core.serve.remote_stream import End, Part
from core.serve.service import Service, Work, serve

TEMPLATE = "server"
"""What stands for the template's name where the server makes the prompt."""
_LOOK_SECONDS = 0.05

State: TypeAlias = Literal["empty", "ready", "generating"]
_News: TypeAlias = tuple[int, Part | End | BaseException]


class Relay:
    """Hands questions on to a server, and its answers back.

    Args:
        server: which one; its `model` may be empty.
        emit: where replies go.
        is_stopped: whether the user wants an end of the `Generate` of that id.
    """

    def __init__(self, server: Server, emit: Callable[[Reply], None], is_stopped: Callable[[int], bool]) -> None:
        self._server, self._emit, self._is_stopped = server, emit, is_stopped
        self._model: ServedModel | None = None
        self._dialect = Dialect()
        self._generating = False

    def handle(self, request: Work) -> None:
        match request:
            case Load():
                self._load(request)
            case Generate():
                self._generate(request)
            case Render():
                self._emit(self._rendered(request))
            case LoadAdapter():
                what = _("a served model takes no adapter from here")
                raise UsageError(what, _("the server names its adapters as models of their own"))
            case Unload() | UnloadAdapter():
                self._model = None if isinstance(request, Unload) else self._model
                self._emit(Done(request.id))
            case _:
                assert_never(request)

    def status(self, request: Status) -> StatusReport:
        """What memory the model takes is not known here."""
        state: State = "generating" if self._generating else "ready" if self._model else "empty"
        return StatusReport(request.id, state, self._server.name)

    def _load(self, request: Load) -> None:
        begun = time.monotonic()
        hasty = dataclasses.replace(self._server, timeout=min(self._server.timeout, CONNECT_SECONDS))
        found, self._model = resolved(hasty)
        self._server = dataclasses.replace(self._server, model=found.model)
        self._emit(
            Loaded(
                request.id,
                self._server.name,
                architecture=_("served"),
                parameters=0,
                dtype="",
                device=self._server.host,
                threads=0,
                context_length=self._model.context_length,
                template=TEMPLATE,
                thinking=True,
                fused=False,
                seconds=time.monotonic() - begun,
                warnings=_warnings(self._server),
            )
        )

    def _rendered(self, request: Render) -> Rendered:
        text = json.dumps(sent_messages(request.messages), ensure_ascii=False, indent=2)
        said = _("the server makes the prompt: this is what it is sent, not what its model reads")
        return Rendered(request.id, text, (), TEMPLATE, warnings=(said,))

    def _generate(self, request: Generate) -> None:
        self._generating = True
        try:
            _Answers(self._server, self._model or ServedModel(""), self._dialect, request, self._tell).run(
                lambda: self._is_stopped(request.id)
            )
        finally:
            self._generating = False

    def _tell(self, reply: Reply) -> None:
        if isinstance(reply, Finished) and reply.last:
            self._generating = False  # before anybody can know of the end and ask
        self._emit(reply)


class _Answers:
    """The rows of one request, each asked in a thread of its own."""

    def __init__(
        self, server: Server, model: ServedModel, dialect: Dialect, request: Generate, emit: Callable[[Reply], None]
    ) -> None:
        self._request, self._emit = request, emit
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._askings = [Asking(server, _question(row, request), dialect) for row in request.rows]
        self._open = {index: _OpenRow(request, index, model.context_length) for index, _row in enumerate(request.rows)}

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Until every row has ended.

        Raises:
            ServerError: of the first row that gets no answer; the others are given up.
        """
        for index, asking in enumerate(self._askings):
            self._emit(Started(self._request.id, index, 0, 0))
            threading.Thread(target=self._ask, args=(index, asking), daemon=True).start()
        try:
            while self._open:
                if is_stopped():
                    self._end_all("stopped")
                    return
                try:
                    self._take(*self._news.get(timeout=_LOOK_SECONDS))
                except queue.Empty:
                    continue
        finally:
            for asking in self._askings:
                asking.abort()

    def _ask(self, index: int, asking: Asking) -> None:
        try:
            for part in asking.stream():
                self._news.put((index, part))
        except BaseException as error:
            self._news.put((index, error))

    def _take(self, index: int, news: Part | End | BaseException) -> None:
        row = self._open.get(index)
        match news:
            case BaseException():
                raise news
            case Part() if row is not None:
                self._emit(row.text(news))
            case End() if row is not None:
                self._close(index, row, news)

    def _end_all(self, reason: FinishReason) -> None:
        for index, row in list(self._open.items()):
            self._close(index, row, End(reason))

    def _close(self, index: int, row: _OpenRow, end: End) -> None:
        if closing := row.closing():
            self._emit(closing)
        del self._open[index]
        self._emit(Finished(self._request.id, index, end.finish_reason, row.usage(end), last=not self._open))


class _OpenRow:
    """An answer that grows: its thinking is folded into the text as a model's own would be."""

    def __init__(self, request: Generate, index: int, context_length: int) -> None:
        self._request, self._index, self._context_length = request, index, context_length
        self._begun = time.monotonic()
        self._first = 0.0
        self._parts = 0
        self._thinks = False

    def text(self, part: Part) -> Text:
        self._first = self._first or time.monotonic() - self._begun
        self._parts += 1
        text = ""
        if part.thinking:
            text += part.thinking if self._thinks else f"<think>\n{part.thinking}"
            self._thinks = True
        if part.text:
            text += f"\n</think>\n\n{part.text}" if self._thinks else part.text
            self._thinks = False
        return Text(self._request.id, self._index, text)

    def closing(self) -> Text | None:
        """What an answer lacks that ended while it was thinking."""
        return Text(self._request.id, self._index, "\n</think>\n\n", 0) if self._thinks else None

    def usage(self, end: End) -> Usage:
        """As the server counts, else a token a part. Without a known context there is always some left."""
        tokens = end.answer_tokens or self._parts
        left = max(0, self._context_length - end.prompt_tokens - tokens) if self._context_length else 1
        seconds = time.monotonic() - self._begun
        return Usage(end.prompt_tokens, end.cached_tokens, tokens, left, self._first, seconds)


def _question(row: Row, request: Generate) -> RemoteQuestion:
    return RemoteQuestion(None, row.messages, request.sampling, request.enable_thinking)


def _warnings(server: Server) -> tuple[str, ...]:
    if server.parts.scheme == "https" or server.loopback or not server.key():
        return ()
    warning = _("the key of {variable} goes to {host} unencrypted")
    return (warning.format(variable=server.key_variable, host=server.host),)


def failure(request_id: int, error: BaseException) -> Failed:
    """An exception as the closing reply of a request."""
    if isinstance(error, FinetuiError):
        kind: ErrorKind = "model" if isinstance(error, ServerError) else "usage"
        return Failed(request_id, kind, error.message, error.hint)
    traceback.print_exception(error, file=sys.stderr)
    return Failed(request_id, "internal", f"{type(error).__name__}: {error}"[:500], _("the log has the details"))


def main(arguments: Sequence[str]) -> NoReturn:
    """Relay until standard input ends."""
    fields: dict[str, Any] = json.loads(arguments[0])

    def make(emit: Callable[[Reply], None], is_stopped: Callable[[int], bool]) -> Service:
        return Relay(Server(**fields), emit, is_stopped)

    serve(make, failure)


if __name__ == "__main__":
    main(sys.argv[1:])
