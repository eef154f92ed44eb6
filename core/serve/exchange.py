"""A request to the worker and the replies to it, and what a reply that is none, or none to this, is told as."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from core.errors import FinetuiError, PromptTooLong, WorkerError
from core.i18n import _
from core.serve.protocol import Failed, Finished, PhaseChanged, Reply, Request, Started, Text
from core.untrusted import inert_line


class Exchange:
    """A request and the replies to it, as they come."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ended = asyncio.Event()
        """Set when the last reply has arrived, read or not."""
        self._replies: asyncio.Queue[Reply | FinetuiError] = asyncio.Queue()

    def put(self, reply: Reply | FinetuiError) -> None:
        self._replies.put_nowait(reply)
        if isinstance(reply, FinetuiError) or closes(reply):
            self.ended.set()

    async def replies(self) -> AsyncIterator[Reply]:
        """Yield up to the closing one.

        Raises:
            FinetuiError: the request failed, or the worker ended.
        """
        while True:
            reply = await self._replies.get()
            if isinstance(reply, FinetuiError):
                raise reply
            if isinstance(reply, Failed):
                raise failure(reply)
            yield reply
            if closes(reply):
                return


def closes(reply: Reply) -> bool:
    """Whether nothing more follows for its request."""
    return reply.last if isinstance(reply, Finished) else not isinstance(reply, PhaseChanged | Started | Text)


def failure(reply: Failed) -> FinetuiError:
    """What the worker says went wrong, as an error of its kind."""
    if reply.kind == "prompt_too_long":
        return PromptTooLong(reply.message, reply.hint)
    return WorkerError(reply.message, reply.hint, reply.kind)


def garbled(line: bytes, reason: str) -> WorkerError:
    return WorkerError(
        _("the model's process wrote a line that is no reply: {line}").format(
            line=inert_line(line[:120].decode(errors="replace"))
        ),
        inert_line(reason[:300]),
    )


def misunderstood(reply: Reply) -> WorkerError:
    return WorkerError(
        _("the model's process gave an answer that was not asked for: {reply}").format(reply=repr(reply)[:200])
    )
