"""What a server writes back: events of a stream, or one JSON object, made into parts of an answer.

Servers differ: some stream although they were not asked to and some answer whole although they were, some name the
wrong content type, some leave `[DONE]` or the finish reason out. What is certain is taken; what is not an answer is
an error. Nothing here grows without a bound.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from core.chat.message import FinishReason
from core.errors import ServerError
from core.i18n import _
from core.serve.remote_address import Server
from core.serve.remote_http import Call, blackened, broken_off, reason_in, silent, too_long
from core.untrusted import inert_line

_PLENTY = 1 << 20
_MOST_PER_TOKEN = 64
_ENVELOPE = 16
"""A streamed part in its event takes this much more room than its text."""
_REASONS: dict[str, FinishReason] = {"length": "length", "max_tokens": "length", "model_length": "length"}
_DONE: dict[str, Any] = {}
_UNFINISHED = ("error", "abort", "cancelled")


@dataclass(frozen=True, slots=True)
class Part:
    """The next piece of an answer."""

    text: str = ""
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete. Token counts are the server's; 0 where it gives none."""

    finish_reason: FinishReason
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, those that the server had computed before."""


Answering: TypeAlias = Iterator[Part | End]


def answer_parts(call: Call, max_new_tokens: int) -> Answering:
    """The parts of the answer that a call brings, `End` last.

    Raises:
        ServerError: there is no whole answer in it.
    """
    limit = _PLENTY + _MOST_PER_TOKEN * max_new_tokens
    pieces = call.pieces()
    first = next(pieces, b"")
    start = first.lstrip()[:1]
    streams = call.content_type == "text/event-stream" or start in (b"d", b":", b"e")
    lines = _lines(_behind(first, pieces), limit if streams else limit * 2, limit * _ENVELOPE)
    records = _events(call.server, lines) if streams else iter([_object(call.server, b"\n".join(lines))])
    return _bounded(_collect(call.server, records), limit)


def _bounded(parts: Answering, limit: int) -> Answering:
    size = 0
    for part in parts:
        if isinstance(part, Part):
            size += len(part.text) + len(part.thinking)
        if size > limit:
            raise too_long(limit)
        yield part


def _behind(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _lines(pieces: Iterator[bytes], longest: int, most: int) -> Iterator[bytes]:
    """The lines of a body, at most `longest` bytes each and `most` together; the last may lack its newline."""
    held: list[bytes] = []
    size = total = 0
    for piece in pieces:
        total += len(piece)
        first, *others = piece.split(b"\n")
        held.append(first)
        size += len(first)
        if size > longest or total > most:
            raise too_long(longest if size > longest else most)
        if others:
            yield b"".join(held)
            yield from others[:-1]
            held, size = [others[-1]], len(others[-1])
    yield b"".join(held)


def _events(server: Server, lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events.

    Comments that keep a connection open are no sign of an answer: the silence lasts until the next event.
    """
    heard = time.monotonic()
    for line in lines:
        if line.startswith(b"data:"):
            heard = time.monotonic()
            data = line[5:].strip()
            if data == b"[DONE]":
                yield _DONE
                return
            if data:
                yield _object(server, data, passing=True)
        elif line[:1] == b"{":  # an error that broke into the stream, outside of its form
            yield _object(server, line, passing=True)
        elif time.monotonic() - heard > server.timeout:
            raise silent(server)


def _object(server: Server, data: bytes, passing: bool = False) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        torn = record is None and data[:1] in (b"", b"{")
        raise _no_answer(server, data, passing or torn)
    return record


def _collect(server: Server, records: Iterator[dict[str, Any]]) -> Answering:
    reason: FinishReason | None = None
    usage: Mapping[str, Any] = {}
    came = done = False
    record: dict[str, Any] | None = None
    for record in records:
        if record is _DONE:
            done = True
            continue
        _check_error(server, record)
        usage = _mapping(record.get("usage")) or usage
        choice = _first_choice(record)
        part = _part(choice)
        if part.text or part.thinking:
            yield part
        came = came or bool(choice)
        reason = _finish_reason(choice.get("finish_reason")) or reason
    if record is None:
        raise broken_off()
    if not came:
        raise ServerError(_("the server's reply holds no answer (no choices)"), _("does api_model answer chats?"))
    if reason is None and not done:
        raise broken_off()
    details = _mapping(usage.get("prompt_tokens_details"))
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens"))
    yield End(reason or "stop", *map(_count, counts))


def _part(choice: Mapping[str, Any]) -> Part:
    said = _mapping(choice.get("delta")) or _mapping(choice.get("message"))
    thinking = said.get("reasoning_content") or said.get("reasoning")
    return Part(_text(said.get("content") or choice.get("text")), _text(thinking))


def _text(content: object) -> str:
    """A message's content: a text, or a list of parts of which the texts count."""
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode() if not content.isascii() else content
    if isinstance(content, list):
        return "".join(_text(_mapping(part).get("text")) for part in content)
    return ""


def _first_choice(record: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = record.get("choices")
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _finish_reason(said: object) -> FinishReason | None:
    if not isinstance(said, str) or not said:
        return None
    if said in _UNFINISHED:
        raise ServerError(_("the server gave the answer up"), passing=True)
    if said == "content_filter":
        raise ServerError(_("the server's content filter withheld the answer"))
    return _REASONS.get(said, "stop")


def _check_error(server: Server, record: Mapping[str, Any]) -> None:
    """An error in the place of an answer, or in the middle of one."""
    said = record.get("error") or (record.get("object") == "error" and record)
    if not said or record.get("choices"):
        return
    code = _mapping(said).get("code")
    lasting = isinstance(code, int) and 400 <= code < 500 and code not in (408, 409, 429)
    reason = blackened(server, inert_line(reason_in(said) or str(said))[:300])
    raise ServerError(_("the server says: {reason}").format(reason=reason), passing=not lasting)


def _no_answer(server: Server, data: bytes, passing: bool) -> ServerError:
    start = blackened(server, inert_line(data[:120].decode(errors="replace").strip()))
    return ServerError(
        _("{host} answered with something that is no answer: {start}").format(host=server.host, start=start or "''"),
        _("is api_base the address of an OpenAI-compatible server? It usually ends in /v1"),
        passing=passing,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0
