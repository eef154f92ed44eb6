"""A command with everything that it starts: nobody of it may outlive the run.

The command leads a process group of its own. Whoever leaves that group and loses its parent comes to the supervisor,
where the system knows subreapers (Linux); so all of them can be found, told to end, and reaped. If the supervisor
itself is killed, the system tells the command to end (it saves, as on any SIGTERM).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LINUX = sys.platform == "linux"
_END_SECONDS = 2.0


class Family:
    """A running command and its descendants."""

    def __init__(
        self, command: Sequence[str], directory: Path | None, environment: Mapping[str, str], inherited: Sequence[int]
    ) -> None:
        """Start it, with our standard output and error and nothing to read.

        Raises:
            OSError: there is no such command or directory.
        """
        prctl = ctypes.CDLL(None).prctl if _LINUX else None
        if prctl is not None:
            prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        parent = os.getpid()

        def die_with_parent() -> None:
            if prctl is not None:
                prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        self._child = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=inherited,
            preexec_fn=die_with_parent,
        )
        self.exit_code: int | None = None
        """Of the command, negative for a signal; None while it runs."""

    def reap(self) -> None:
        """Take note of whoever has ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child.pid:
                    self.exit_code = self._child.returncode = os.waitstatus_to_exitcode(status)

    def tell(self, number: signal.Signals) -> None:
        """Send the command a signal; it tells its own children."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    def kill(self) -> None:
        """End all of them at once."""
        self._signal_all(signal.SIGKILL)

    def end_the_rest(self) -> None:
        """When the command has ended: end whoever it left behind, politely for two seconds."""
        deadline = time.monotonic() + _END_SECONDS
        self._signal_all(signal.SIGTERM)
        while self._anyone():
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.02)

    def _anyone(self) -> bool:
        self.reap()
        try:
            os.killpg(self._child.pid, 0)
        except ProcessLookupError:
            return bool(_children())
        except PermissionError:
            return False  # only zombies of others: macOS
        return True

    def _signal_all(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _children() -> list[int]:
    """Our children, adopted ones too."""
    try:
        return list(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
    except OSError:
        return []
