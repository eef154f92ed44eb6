"""What has become of a run: derived from its last events and from whether its supervisor lives, never stored.

A terminal event says it. Without one the supervisor's process decides, where this is its machine. On a shared disk the
run of another machine is taken to live while its files change.
"""

from __future__ import annotations

import contextlib
import mmap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from core.runs.alive import is_alive, this_host
from core.runs.events import Event, Queued, RunFailed, RunFinished, RunStarted, Warned
from core.runs.follow import parse
from core.runs.foreign import is_foreign_run
from core.runs.rundir import RunDirectory

RunState: TypeAlias = Literal["queued", "running", "finished", "stopped", "failed", "lost"]

_TAIL_BYTES = 64 << 10
_SILENT_SECONDS = 600.0
"""How long the files of a run on another machine may stay as they are before it counts as lost."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The events that a run's state is derived from."""

    started: RunStarted | None = None
    """Of the last segment."""
    last: Event | None = None
    """The last event that is no warning."""


def state_of(run: RunDirectory) -> RunState:
    """The state of a run by its folder; reads the end of its events alone."""
    if is_foreign_run(run.path):
        return "finished"
    state = derive(run, read_marks(run))
    # Between the look at its words and the look at its process it may have said its last word and ended.
    return derive(run, read_marks(run)) if state == "lost" else state


def derive(run: RunDirectory, marks: Marks) -> RunState:
    """The state that follows from a run's last events."""
    match marks.last:
        case RunFinished(reason="stopped"):
            return "stopped"
        case RunFinished():
            return "finished"
        case RunFailed():
            return "failed"
    if marks.started is None or not supervisor_lives(run, marks.started):
        return "lost"
    return "queued" if isinstance(marks.last, (RunStarted, Queued)) else "running"


def is_active(state: RunState) -> bool:
    """Whether the run goes on, or will."""
    return state in ("queued", "running")


def supervisor_lives(run: RunDirectory, started: RunStarted) -> bool:
    """Whether somebody is still there to write the run's last word."""
    if started.host == this_host() and started.pid:
        return is_alive(started.pid, started.started)
    return time.time() - _last_change(run) < _SILENT_SECONDS


def wait_gone(run: RunDirectory, seconds: float = 15.0) -> bool:
    """Wait until a run that said its last word has done the rest too: pictures, and the end of its processes.

    Returns:
        Whether its supervisor is gone, as far as that can be told from this machine.
    """
    started, deadline = read_marks(run).started, time.monotonic() + seconds
    while started is not None and started.host == this_host() and is_alive(started.pid, started.started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _last_change(run: RunDirectory) -> float:
    times = [0.0]
    for path in (run.events, run.log):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def read_marks(run: RunDirectory) -> Marks:
    """Find the events that tell the state: the last one, and the beginning of the last segment."""
    started, last = None, None
    for event in reversed(tail(run)):
        if last is None and not isinstance(event, Warned):
            last = event
        if isinstance(event, RunStarted):
            started = event
            break
    return Marks(started or (_last_start(run.events) if last else None), last)


def tail(run: RunDirectory) -> list[Event]:
    """The events at the end of the file, some hundreds at most."""
    return [event for line in _last_lines(run.events, _TAIL_BYTES) if (event := parse(line)[0]) is not None]


def _last_lines(path: Path, most: int) -> list[bytes]:
    """The whole lines in so many bytes at the end of a file; in more where a line is longer than that."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            data = file.read(most)
    except OSError:
        return []
    lines = data.split(b"\n")[1 if size > most else 0 : -1]
    return lines or (_last_lines(path, 8 * most) if size > most else [])


def _last_start(path: Path) -> RunStarted | None:
    """The last `run_started` of a long file, found by its bytes: inside texts the quotes would be escaped."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begin = data.rfind(b'{"type":"run_started"')
            line = data[begin : data.find(b"\n", begin)] if begin >= 0 else b""
        event = parse(line)[0]
        return event if isinstance(event, RunStarted) else None
    return None
