"""A server as a reward, asked as LLaMA-Factory asks one.

    POST ADDRESS  {"model": "model", "messages": [prompt and answer as one text, special tokens and all, …]}
    200           {"scores": [a number for each text]}

Waiting, retries, proxies and keys are those of served models (`core.serve.remote_http`); the key, where the server
wants one, is read from FINETUI_REWARD_KEY.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from core.engine.control import never
from core.engine.scorers.scorer import Asked, workable
from core.engine.tokenizer import Tokenizer
from core.errors import ScoringFailed, ServerError
from core.i18n import _
from core.serve.remote_address import Server
from core.serve.remote_http import Call
from core.untrusted import inert_line

KEY_VARIABLE = "FINETUI_REWARD_KEY"
_AT_ONCE = 256
_LONGEST_REPLY = 1 << 20
_LONGEST_PAUSE = 60.0
_SHOWN = 120
_LOOK_SECONDS = 0.1
"""Between two looks whether a stop is wanted."""


@dataclass(frozen=True)
class ServerScorer:
    """Scores by a server."""

    server: Server
    text_of: Callable[[Sequence[int]], str]
    """Tokens to text, special tokens shown."""
    kind: Literal["api"] = "api"

    @property
    def name(self) -> str:
        return self.server.api_base

    def score(self, asked: Sequence[Asked], is_stopped: Callable[[], bool] = never) -> list[float]:
        """See `Scorer`; a server that lets wait is hung up on."""
        texts = [one.text or self.text_of([*one.prompt_ids, *one.answer_ids]) for one in asked]
        scores: list[float] = []
        for begin in range(0, len(texts), _AT_ONCE):
            scores += self._asked(texts[begin : begin + _AT_ONCE], is_stopped)
        return scores

    def _asked(self, texts: Sequence[str], is_stopped: Callable[[], bool]) -> list[float]:
        """The scores of some texts; what passes by itself is tried again."""
        pause = self.server.first_pause
        for tries_left in reversed(range(self.server.retries + 1)):
            if is_stopped():
                return []
            try:
                return self._scores(self._reply(texts, is_stopped), len(texts))
            except ServerError as error:
                if is_stopped():
                    return []
                if not error.passing or not tries_left:
                    raise ScoringFailed(error.message, _hint()) from error
                _wait(error.pause or pause, is_stopped)
                pause = min(3 * pause, _LONGEST_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _reply(self, texts: Sequence[str], is_stopped: Callable[[], bool]) -> bytes:
        call = Call(self.server)
        try:
            path = "" if self.server.parts.path else "/"
            with _hung_up(call, is_stopped):
                call.send("POST", path, {"model": self.server.model or "model", "messages": list(texts)})
                return call.whole(_LONGEST_REPLY)
        finally:
            call.close()

    def _scores(self, reply: bytes, count: int) -> list[float]:
        try:
            record: Any = json.loads(reply)
            scores = record["scores"]
            given = [_number(one) for one in scores] if isinstance(scores, list) else []
        except (ValueError, KeyError, TypeError, RecursionError):
            given = []
        numbers = [one for one in given if one is not None]
        if not len(numbers) == len(given) == count:
            shown = inert_line(reply[: 4 * _SHOWN].decode(errors="replace"))[:_SHOWN]
            what = _("{host} gave no score for each of {count} answers; it said: {reply}")
            raise ScoringFailed(what.format(host=self.server.host, count=count, reply=shown), _hint())
        return numbers


def open_server(address: str, tokenizer: Tokenizer | None = None) -> ServerScorer:
    """The server of an address.

    Args:
        tokenizer: the policy's; None where texts are given.
    """

    def text_of(ids: Sequence[int]) -> str:
        return "" if tokenizer is None else str(tokenizer.backend.decode(list(ids), skip_special_tokens=False))

    return ServerScorer(Server(address, key_variable=KEY_VARIABLE), text_of)


@contextmanager
def _hung_up(call: Call, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """The call is hung up when a stop is wanted; whoever waits for it meets an error."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            if is_stopped():
                call.abort()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _wait(seconds: float, is_stopped: Callable[[], bool]) -> None:
    """Wait so long, or until a stop is wanted."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not is_stopped():
        time.sleep(min(left, _LOOK_SECONDS))


def _number(value: object) -> float | None:
    """A number, or a list of one, as a model's output layer gives it; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return None if isinstance(value, bool) else workable(value)


def _hint() -> str:
    return _('it is asked with POST {"model": …, "messages": […]} and has to answer {"scores": [a number for each]}')
