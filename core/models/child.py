"""A child process that fetches or converts: watched, stoppable, and gone when its work is not wanted any more.

Output goes to files, so that nothing paints over the screen and no pipe can fill. The child is its own process group:
a ctrl+c in the terminal reaches only us, and we end it with everything that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.models.progress import raise_if_cancelled

_POLL_SECONDS = 0.1
_ENDS = "FINETUI_ENDS_WITH_STDIN"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, and what it wrote."""

    code: int
    output: str
    errors: str

    @property
    def last_error_line(self) -> str:
        """The last line of what it complained about; usually the reason."""
        lines = [line for line in (self.errors or self.output).splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else ""

    def records(self) -> list[dict[str, Any]]:
        """The JSON objects among its output lines."""
        return _records(self.output)


def run_child(
    command: Sequence[str],
    folder: Path,
    cancelled: threading.Event,
    on_poll: Callable[[list[dict[str, Any]]], None],
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command to its end, its logs and temporary files in a folder.

    Args:
        on_poll: called at the start and then ten times a second, with the JSON objects that it has written to
            standard output so far.
        environment: what differs from our own.

    Raises:
        PullFailed: it was cancelled.
        OSError: it cannot be started.
    """
    output, errors = folder / "output.log", folder / "errors.log"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end is how our own children learn that we were killed
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONSAFEPATH": "1", _ENDS: "1", **(environment or {})},
            start_new_session=True,
        )
    try:
        on_poll([])
        while child.poll() is None:
            raise_if_cancelled(cancelled)
            on_poll(_records(_text(output)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_SECONDS)
    finally:
        _end(child)
    return Ended(child.returncode, _text(output), _text(errors))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Nothing of it is worth a goodbye: what it wrote is thrown away with its folder."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def end_with_parent() -> None:
    """Called by a child of ours: end it when the process that started it is gone, however that ended."""
    if os.environ.get(_ENDS):
        threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _records(output: str) -> list[dict[str, Any]]:
    found = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
    return found
