"""A server that scores texts as LLaMA-Factory's reward servers do, on a loopback port; it misbehaves as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ScoringServer:
    """What came, and what is answered."""

    address: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    turns: list[tuple[int, bytes]] = field(default_factory=list)
    """Status and body of the next answers; with none left, each text's number of letters."""

    def answer(self, body: dict[str, Any], key: str) -> tuple[int, bytes]:
        self.bodies.append(body)
        self.keys.append(key)
        if self.turns:
            return self.turns.pop(0)
        return 200, json.dumps({"scores": [float(len(text)) for text in body["messages"]]}).encode()


@contextmanager
def scoring_server(turns: Sequence[tuple[int, bytes]] = ()) -> Iterator[ScoringServer]:
    """A server while the context lasts."""
    served = ScoringServer(turns=list(turns))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = served.answer(body, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_port}/score"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
