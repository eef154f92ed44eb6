"""The process that stands over a run: `python -P -m core.launch.supervise [--detach] RUN_DIR`.

Its first line in `events.jsonl` is the run's sign of life. So that it comes at once, this module imports next to
nothing; the rest of the supervisor is imported when the line is written.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from core.jsonl import append_lines
from core.runs.alive import start_time, this_host

_RUN_STARTED = "run_started"  # core.runs.events.RunStarted, whose import costs 40 ms
HEARD = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def main(words: list[str]) -> int:
    """Supervise a run to its end; with `--detach` in a process that has no parent, once it has said that it lives."""
    # They wait for their handlers: who starts a run in a shell's background leaves us some that would be ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    folder = Path(words[-1])
    if "--detach" in words[:-1]:
        return _detached(folder)
    _say_started(folder)
    return _supervise(folder)


def _detached(folder: Path) -> int:
    """Leave the work to a child that is nobody's: whoever started us sees 0 when it lives, and no zombie after it."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return 0 if os.read(reading, 1) else 1
    os.close(reading)
    code = 1
    try:
        _say_started(folder)
        os.write(writing, b"1")
        os.close(writing)
        code = _supervise(folder)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(code)


def _say_started(folder: Path) -> None:
    launch = json.loads((folder / "launch.json").read_bytes())
    record = {
        "type": _RUN_STARTED,
        "time": time.time(),
        "pid": os.getpid(),
        "started": start_time(os.getpid()),
        "host": this_host(),
        "kind": launch.get("kind", "train"),
        "schema": 1,
        "segment": launch.get("segment", 1),
        "resumed_from": launch.get("resumed_from", ""),
    }
    append_lines(folder / "events.jsonl", record, mode=0o644)


def _supervise(folder: Path) -> int:
    from core.launch.supervision import supervise  # see above
    from core.runs.launch_file import read_launch
    from core.runs.rundir import PIPELINE, RunDirectory

    run = RunDirectory(folder)
    if read_launch(run).kind == PIPELINE:
        from core.launch.pipeline.conduct import conduct  # options are read there: pydantic

        return conduct(run)
    return supervise(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
