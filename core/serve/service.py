"""The worker's end of the pipe, whatever answers behind it: a model loaded there, or a server elsewhere.

The first line is written before anything heavy is imported. Standard output belongs to the protocol alone: its
descriptor is moved away at the start and descriptor 1 leads to standard error, so nothing that a library prints can
get between two messages. A thread of its own reads standard input: it answers `Stop`, `Status` and nonsense at once,
and the end of input ends the process on the spot, so a killed app leaves no orphan on the device.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn, Protocol, TypeAlias, cast

from core.errors import RecordError
from core.i18n import _
from core.jsonl import dump_line
from core.records import from_record, to_record
from core.serve.protocol import (
    REQUESTS,
    Done,
    Failed,
    Generate,
    Hello,
    Load,
    LoadAdapter,
    Render,
    Reply,
    Request,
    Status,
    StatusReport,
    Stop,
    Unload,
    UnloadAdapter,
)

Work: TypeAlias = Load | LoadAdapter | UnloadAdapter | Unload | Generate | Render
"""The requests that wait for one another; `Stop` and `Status` do not."""


class Service(Protocol):
    """What serves the requests."""

    def handle(self, request: Work) -> None:
        """Serve a request, its closing reply included; what it raises becomes a `Failed`."""

    def status(self, request: Status) -> StatusReport:
        """How it is; asked from another thread."""


class Pipes:
    """The two ends of the protocol, which nobody else can reach any more."""

    def __init__(self) -> None:
        self.requests: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._replies = os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def send(self, reply: Reply) -> None:
        """Write one line. Nobody there to read it: the process ends."""
        data = dump_line(to_record(reply))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._replies, data) :]
            except OSError:
                os._exit(1)


class Running:
    """The `Generate` requests that are open, and which of them are to stop; looked at by both threads."""

    def __init__(self) -> None:
        self._open: dict[int, bool] = {}

    def begin(self, request_id: int) -> None:
        self._open[request_id] = False

    def stop(self, target: int) -> None:
        """0: all of them, also those that wait for their turn."""
        for request_id in [target] if target else list(self._open):
            if request_id in self._open:
                self._open[request_id] = True

    def is_stopped(self, request_id: int) -> bool:
        return self._open.get(request_id, False)

    def end(self, request_id: int) -> None:
        self._open.pop(request_id, None)


def serve(
    make_service: Callable[[Callable[[Reply], None], Callable[[int], bool]], Service],
    failure: Callable[[int, BaseException], Failed],
) -> NoReturn:
    """Serve until standard input ends.

    Args:
        make_service: called after the first sign of life with where replies go, and whether the user wants an end of
            the `Generate` of an id.
        failure: an exception as the closing reply of a request.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl+c in the terminal is the app's
    pipes = Pipes()
    pipes.send(Hello(os.getpid()))
    running = Running()
    work: queue.SimpleQueue[Work] = queue.SimpleQueue()
    service = make_service(pipes.send, running.is_stopped)
    threading.Thread(target=Reader(pipes, running, work, service).read, name="requests", daemon=True).start()
    while True:
        request = work.get()
        try:
            service.handle(request)
        except BaseException as error:  # out of memory, a defect: told, and the next request is served
            pipes.send(failure(request.id, error))
        finally:
            running.end(request.id)


class Reader:
    """Takes requests in: some are answered at once, the others queue."""

    def __init__(self, pipes: Pipes, running: Running, work: queue.SimpleQueue[Work], service: Service) -> None:
        self._pipes, self._running, self._work, self._service = pipes, running, work, service

    def read(self) -> NoReturn:
        """Until the end of input, which is the end of the process."""
        for line in self._pipes.requests:
            if line.strip():
                self._take(line)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        request_id = 0
        try:
            record = json.loads(line)
            request_id = _readable_id(record)
            request = cast(Request, from_record(cast(Any, REQUESTS), record))
        except RecordError as error:
            self._pipes.send(Failed(request_id, "usage", error.message, error.hint))
            return
        except (ValueError, RecursionError) as error:
            self._pipes.send(Failed(request_id, "usage", _("not a line of JSON: {error}").format(error=error)))
            return
        match request:
            case Stop():
                self._running.stop(request.target)
                self._pipes.send(Done(request.id))
            case Status():
                self._pipes.send(self._service.status(request))
            case _:
                if isinstance(request, Generate):
                    self._running.begin(request.id)
                self._work.put(request)


def _readable_id(record: object) -> int:
    request_id = record.get("id") if isinstance(record, dict) else None
    return request_id if type(request_id) is int else 0


def resident_bytes() -> int:
    """This process's memory."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - no pathlib before the first sign of life
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
