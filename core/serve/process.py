"""The worker as a process: started, spoken to in lines, watched, ended.

Built on asyncio's subprocess *protocol* rather than its streams: a line may have any length, replies are handed on in
the loop's own turn without a reader task, and the end of the process is seen even while a grandchild still holds the
pipe (`Process.wait` would wait for both). The worker has a session of its own, so a ctrl+c in the terminal reaches
only the app; the end of its standard input ends it, so a killed app leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from core.errors import WorkerDied
from core.i18n import _
from core.untrusted import inert

LONGEST_LINE = 64 << 20
_DRAIN_SECONDS = 0.2
_LONGEST_LOG = 4 << 20
_TAIL_BYTES, _TAIL_LINES = 4096, 12


class WorkerProcess(asyncio.SubprocessProtocol):
    """A running worker. `on_line` gets each line without its newline, `on_exit` is called once, after the last."""

    def __init__(self, log_path: Path, on_line: Callable[[bytes], None], on_exit: Callable[[], None]) -> None:
        self._log_path, self._on_line, self._on_exit = log_path, on_line, on_exit
        self._log_start = 0
        self._parts: list[bytes] = []
        self._held = 0
        self._transport: asyncio.SubprocessTransport | None = None
        self._ended = asyncio.Event()
        self._cause = ""
        self.pid = 0
        self.exit_code: int | None = None
        """As `subprocess` has it: negative for a signal; None while it runs."""

    async def spawn(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            WorkerDied: the command or the log file cannot be opened.
        """
        loop = asyncio.get_running_loop()
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(log).st_size > _LONGEST_LOG:
                    os.ftruncate(log, 0)
                self._log_start = os.fstat(log).st_size
                await loop.subprocess_exec(
                    lambda: self, *command, env={**os.environ, **env}, stderr=log, start_new_session=True
                )
            finally:
                os.close(log)
        except OSError as error:
            raise WorkerDied(_("the model's process could not be started: {error}").format(error=error)) from error

    @property
    def alive(self) -> bool:
        return self._transport is not None and self.exit_code is None

    def write(self, line: bytes) -> None:
        """Hand a line to the worker; one to a dead worker is dropped (`on_exit` has told of it)."""
        if self.alive:
            self._input().write(line)

    def close_input(self) -> None:
        """The polite word to leave."""
        if self.alive:
            self._input().close()

    def signal(self, number: signal.Signals) -> None:
        """Signal the worker and whatever it started."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; False when the time is up first."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    def kill(self, cause: str) -> None:
        """End it at once, for a reason that its callers are told."""
        self.blame(cause)
        self.signal(signal.SIGKILL)

    def blame(self, cause: str) -> None:
        """Why it will have ended; the first reason counts."""
        self._cause = self._cause or cause

    def death(self) -> WorkerDied:
        """Why it ended, with the last lines of its log."""
        return WorkerDied(self._cause or _exit_story(self.exit_code), self._log_tail())

    def _log_tail(self) -> str:
        try:
            with self._log_path.open("rb") as log:
                size = os.fstat(log.fileno()).st_size
                log.seek(max(self._log_start, size - _TAIL_BYTES))
                text = log.read(_TAIL_BYTES).decode(errors="replace")
        except OSError:
            return ""
        return inert("\n".join(text.strip().splitlines()[-_TAIL_LINES:]))

    # --- called by asyncio --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._parts.append(first)
        self._held += len(first)
        if others:
            self._on_line(b"".join(self._parts))
            for line in others[:-1]:
                self._on_line(line)
            self._parts, self._held = [others[-1]], len(others[-1])
        if self._held > LONGEST_LINE:
            self._parts, self._held = [], 0
            self.kill(_("the model's process wrote a line without an end"))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1 and self.exit_code is not None:
            self._end()

    def process_exited(self) -> None:
        transport = cast(asyncio.SubprocessTransport, self._transport)
        self.exit_code = transport.get_returncode()
        # Its last words may still be in the pipe, and a grandchild may keep the pipe open for ever.
        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # ------------------------------------------------------------------------------------------------------------

    def _input(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, cast(asyncio.SubprocessTransport, self._transport).get_pipe_transport(0))

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            cast(asyncio.SubprocessTransport, self._transport).close()
            self._on_exit()


def _exit_story(code: int | None) -> str:
    """What an exit code says, for a person."""
    if code is None or code >= 0:
        return _("the model's process ended by itself with exit code {code}").format(code=code)
    if -code == signal.SIGKILL:
        return _("the model's process was killed by signal 9: most likely out of memory")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "?"
    return _("the model's process was killed by signal {number} ({name})").format(number=-code, name=name)
