"""A fake OpenAI-compatible server on a loopback port, in threads of the test's own process; it misbehaves as told.

    with ServedFake(turns={"two": [Turn(status=429), Turn(text="2")]}) as served:
        Server(served.api_base, "echo")

A question without turns of its own, or none left, is answered with `you said: …`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal


@dataclass
class Turn:
    """What happens to one request."""

    text: str | None = None
    """The answer; None: what was said comes back."""
    thinking: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is, in place of an answer."""
    whole: bool = False
    """One JSON object although a stream was asked for."""
    delay: float = 0.0
    """Seconds before the first byte."""
    pace: float = 0.0
    """Seconds between two parts."""
    ends: Literal["done", "no_done", "mid_stream", "endless", "silent", "keepalive"] = "done"
    finish_reason: str = "stop"
    content_type: str = "text/event-stream"


class ServedFake:
    """The server. A context manager; `requests` has every chat request with its headers."""

    def __init__(
        self,
        *,
        models: Sequence[Mapping[str, Any]] = ({"id": "echo", "max_model_len": 4096},),
        turns: Mapping[str, Sequence[Turn]] | None = None,
        always: Turn | None = None,
        key: str = "",
    ) -> None:
        self.models, self.key, self.always = models, key, always or Turn()
        self.turns = {question: list(each) for question, each in (turns or {}).items()}
        self.requests: list[dict[str, Any]] = []
        self.most_at_once = 0
        self.over = threading.Event()
        self._now = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.fake = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def asked(self, question: str) -> int:
        """How often a question came."""
        return sum(question_of(request["body"]) == question for request in self.requests)

    def __enter__(self) -> ServedFake:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def turn_for(self, question: str) -> Turn:
        with self._lock:
            left = self.turns.get(question)
            return left.pop(0) if left else self.always


def question_of(body: Mapping[str, Any]) -> str:
    return next((m["content"] for m in reversed(body.get("messages", [])) if m["role"] == "user"), "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def fake(self) -> ServedFake:
        return self.server.fake  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_words: object) -> None:
        pass

    def do_GET(self) -> None:
        if self._refused():
            return
        if self.path == "/v1/models":
            self._send(200, json.dumps({"object": "list", "data": list(self.fake.models)}).encode(), "application/json")
        else:
            self._send(404, b'{"detail": "Not Found"}', "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.fake.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
        if self._refused():
            return
        if self.path != "/v1/chat/completions":
            self._send(404, b'{"detail": "Not Found"}', "application/json")
            return
        with self.fake.counted(), contextlib.suppress(OSError):
            self._answer(body, self.fake.turn_for(question_of(body)))

    def _refused(self) -> bool:
        said = self.headers.get("Authorization", "")
        if self.fake.key and said != f"Bearer {self.fake.key}":
            record = {"error": {"message": f"Incorrect API key provided: {said}", "code": "invalid_api_key"}}
            self._send(401, json.dumps(record).encode(), "application/json")
            return True
        return False

    def _send(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, body: Mapping[str, Any], turn: Turn) -> None:
        self.fake.over.wait(turn.delay)
        text = turn.text if turn.text is not None else f"you said: {question_of(body)}"
        if turn.body is not None:
            self._send(turn.status, turn.body, turn.content_type, turn.headers)
        elif turn.status != 200:
            record = {"error": {"message": f"the fake says {turn.status}", "type": "fake", "code": turn.status}}
            self._send(turn.status, json.dumps(record).encode(), "application/json", turn.headers)
        elif turn.whole or not body.get("stream"):
            message = {"role": "assistant", "content": text, "reasoning_content": turn.thinking or None}
            choice = {"index": 0, "message": message, "finish_reason": turn.finish_reason}
            record = {"object": "chat.completion", "choices": [choice], "usage": usage(body, text)}
            self._send(200, json.dumps(record).encode(), "application/json")
        else:
            self._stream(body, text, turn)

    def _stream(self, body: Mapping[str, Any], text: str, turn: Turn) -> None:
        self.send_response(200)
        self.send_header("Content-Type", turn.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(choice({"role": "assistant", "content": ""}))
        if turn.thinking:
            self._event(choice({"reasoning_content": turn.thinking}))
        words = re.findall(r"\s*\S+|\s+$", text)
        for word in words[: len(words) // 2] if turn.ends == "mid_stream" else words:
            self._event(choice({"content": word}))
            self.fake.over.wait(turn.pace)
        match turn.ends:
            case "mid_stream":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            case "silent":
                self.fake.over.wait(10)
                return
            case "keepalive":
                while not self.fake.over.wait(0.02):
                    self._chunk(b": still here\n\n")
                return
            case "endless":
                while not self.fake.over.is_set():
                    self._event(choice({"content": "more " * 1000}))
                return
        self._event(choice({}, turn.finish_reason))
        if body.get("stream_options", {}).get("include_usage"):
            self._event({"choices": [], "usage": usage(body, text)})
        if turn.ends == "done":
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, record: Mapping[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(record).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def usage(body: Mapping[str, Any], text: str) -> dict[str, int]:
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": len(text.split())}


def free_port_base() -> str:
    """An address at which nobody takes calls."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/v1"
