"""The chat worker's process: `python -P -m core.engine.serve` speaks `core.serve.protocol` on its pipes.

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
import sys
import threading
from typing import Any, BinaryIO, NoReturn, cast

from core.engine.shortage import is_out_of_memory
from core.errors import FinetuiError, ModelError, PromptTooLong, RecordError, UsageError
from core.i18n import _
from core.jsonl import dump_line
from core.records import from_record, to_record
from core.serve.protocol import (
    REQUESTS,
    Done,
    ErrorKind,
    Failed,
    Generate,
    Hello,
    Reply,
    Request,
    Status,
    StatusReport,
    Stop,
)

PASSIVE_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Before torch is imported: on a busy machine threads that spin at barriers cost 2–4×."""
_QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


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


def main() -> NoReturn:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl+c in the terminal is the app's
    pipes = Pipes()
    pipes.send(Hello(os.getpid()))
    os.environ.update(PASSIVE_WAITS)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    running = Running()
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    reader = Reader(pipes, running, work)
    threading.Thread(target=reader.read, name="requests", daemon=True).start()
    while True:
        request = work.get()
        try:
            _serve(reader, request)
        except BaseException as error:  # out of memory, a defect: told, and the next request is served
            pipes.send(failure(request.id, error))
        finally:
            running.end(request.id)


def _serve(reader: Reader, request: Any) -> None:
    try:
        reader.worker.handle(request)
    except BaseException as error:
        if is_out_of_memory(error):
            error.__traceback__ = None  # it holds on to the tensors that were too many
            reader.worker.out_of_memory()
        raise


class Reader:
    """Takes requests in: some are answered at once, the others queue."""

    def __init__(self, pipes: Pipes, running: Running, work: queue.SimpleQueue[Any]) -> None:
        from core.engine.worker import Worker  # jinja2 and tokenizers: 0.1 s, after the first sign of life

        self._pipes, self._running, self._work = pipes, running, work
        self.worker = Worker(pipes.send, running.is_stopped)

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
                self._pipes.send(self._status(request))
            case _:
                if isinstance(request, Generate):
                    self._running.begin(request.id)
                self._work.put(request)

    def _status(self, request: Status) -> StatusReport:
        condition = self.worker.condition
        used, total = _device_memory() if condition.state in ("ready", "generating") else (0, 0)
        return StatusReport(
            request.id,
            cast(Any, condition.state),
            condition.model,
            condition.adapters,
            resident_bytes=_resident_bytes(),
            device_bytes=used,
            device_total_bytes=total,
        )


def _readable_id(record: object) -> int:
    request_id = record.get("id") if isinstance(record, dict) else None
    return request_id if type(request_id) is int else 0


def failure(request_id: int, error: BaseException) -> Failed:
    """An exception as the closing reply of a request."""
    if is_out_of_memory(error):
        return Failed(
            request_id,
            "out_of_memory",
            _("out of memory: {error}").format(error=_one_line(error)),
            _("shorten the conversation, lower max_new_tokens, or unload adapters and other models"),
        )
    if isinstance(error, FinetuiError):
        return Failed(request_id, _kind(error), error.message, error.hint)
    import traceback  # only for defects, whose traceback goes to the log

    traceback.print_exception(error, file=sys.stderr)
    return Failed(request_id, "internal", f"{type(error).__name__}: {_one_line(error)}", _("the log has the details"))


def _kind(error: FinetuiError) -> ErrorKind:
    if isinstance(error, PromptTooLong):
        return "prompt_too_long"
    if isinstance(error, (UsageError, RecordError)):
        return "usage"
    return "model" if isinstance(error, ModelError) else "internal"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - no pathlib before the first sign of life
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _device_memory() -> tuple[int, int]:
    """Bytes that this process took on the accelerator, and all that it has."""
    torch: Any = sys.modules["torch"]
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0, 0
    return int(torch.cuda.memory_reserved()), int(torch.cuda.mem_get_info()[1])


if __name__ == "__main__":
    main()
