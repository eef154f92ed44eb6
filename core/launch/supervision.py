"""Supervising a run: wait for its devices, start its command, pass signals on, tell how it ended, leave nobody behind.

The trainer says its own last word. The supervisor says it where the trainer could not: it was killed, it never
started, or it was stopped before it could listen.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from core.i18n import _
from core.jsonl import append_lines
from core.launch.death import out_of_memory_kills, story_of
from core.launch.device_lock import Ticket
from core.launch.family import Family
from core.launch.supervise import HEARD
from core.records import to_record
from core.runs.events import Answered, Event, Queued, RunFailed, RunFinished, RunStarted, StageChanged, Step, Warned
from core.runs.follow import Follower
from core.runs.history import step_of
from core.runs.launch_file import Launch, read_launch
from core.runs.rundir import RunDirectory

_LOOK_SECONDS = 0.5
_DEAF_SECONDS = 3.0
"""How long a trainer that is not yet at its steps may leave a wish to stop unheard."""
_LISTENING = ("training", "evaluating", "answering", "scoring", "saving", "ending")
_END, _KILL = signal.SIGTERM, signal.SIGQUIT


def supervise(run: RunDirectory) -> int:
    """See a run through; returns 0 when it ended as it should, 1 when it failed."""
    return _Supervisor(run, read_launch(run)).supervise()


class _Supervisor:
    def __init__(self, run: RunDirectory, launch: Launch) -> None:
        self._run, self._launch = run, launch
        self._follower = Follower(run)
        self._last_word: RunFinished | RunFailed | None = None
        self._step = 0
        self._stepping = False
        """Whether the trainer is at its steps, where it looks at wishes by itself."""
        self._asked: set[int] = set()
        """The signals that came."""
        self._told: float | None = None
        """When the trainer was told to end."""
        self._killed = False
        self._mine = False
        """Whether the events that are being read are of this segment."""

    def supervise(self) -> int:
        with wakened_by_signals(self._asked) as wakeup:
            for caution in self._launch.cautions if self._launch.segment == 1 else ():
                self._say(Warned(time.time(), caution.message, caution.hint))
            ticket = self._draw_ticket()
            try:
                if self._wait_for_devices(ticket, wakeup):
                    self._watch(ticket, wakeup)
                else:
                    self._say(RunFinished(time.time(), "stopped", self._step))
            finally:
                if ticket is not None:
                    ticket.release()
        return 1 if isinstance(self._last_word, RunFailed) else 0

    # --- waiting ------------------------------------------------------------------------------------------------

    def _draw_ticket(self) -> Ticket | None:
        if not self._launch.devices:
            return None
        try:
            return Ticket(self._launch.devices, str(self._run.path))
        except OSError as error:
            told = _("runs on one device cannot be kept apart: {error}").format(error=error)
            self._say(Warned(time.time(), told, _("name a folder that you can write to in FINETUI_LOCKS")))
            return None

    def _wait_for_devices(self, ticket: Ticket | None, wakeup: int) -> bool:
        """Whether it may begin; False when it was stopped before."""
        before: tuple[str, str] | None = None
        while not self._asked and "stop" not in self._run.wishes():
            ahead = ticket.ahead() if ticket is not None else None
            if ahead is None:
                return True
            if ahead != before:
                self._say(Queued(time.time(), *ahead))
                before = ahead
            wait(wakeup)
        self._run.granted("stop")
        return False

    # --- watching -----------------------------------------------------------------------------------------------

    def _watch(self, ticket: Ticket | None, wakeup: int) -> None:
        self._say(StageChanged(time.time(), "importing"))
        self._listen()
        kills_before = out_of_memory_kills()
        family = self._start([ticket.fileno()] if ticket is not None else [])
        if family is None:
            return
        while family.exit_code is None:
            wait(wakeup)
            self._listen()
            self._pass_on(family)
            family.reap()
        family.end_the_rest()
        self._listen()
        if self._last_word is None:
            self._say_last_word(family.exit_code, out_of_memory_kills() > kills_before)

    def _start(self, inherited: list[int]) -> Family | None:
        directory = Path(self._launch.directory) if self._launch.directory else None
        try:
            return Family(self._launch.command, directory, self._launch.environment, inherited)
        except OSError as error:
            self._say(RunFailed(time.time(), _("it cannot be started: {error}").format(error=error)))
            return None

    def _pass_on(self, family: Family) -> None:
        """What was asked for reaches the trainer; what it does not do in time is done to it."""
        late = self._told is not None and time.monotonic() - self._told > self._launch.grace_seconds
        if _KILL in self._asked or late:
            self._killed = True
            family.kill()
        elif self._told is None and (_END in self._asked or self._unheard()):
            self._told = time.monotonic()
            family.tell(_END)

    def _unheard(self) -> bool:
        """Whether a wish to stop stands before a trainer that still imports or loads."""
        if self._stepping or self._last_word is not None:
            return False
        with contextlib.suppress(OSError):
            return time.time() - (self._run.control / "stop").stat().st_mtime > _DEAF_SECONDS
        return False

    def _listen(self) -> None:
        """Take note of what the trainer has told."""
        for event in self._follower.poll_all():
            if isinstance(event, RunStarted):
                self._mine = event.pid == os.getpid()
                self._step = step_of(event.resumed_from)
            if not self._mine:
                continue  # of an earlier segment, or of one that was started before this process was gone
            if isinstance(event, Step):
                self._step = event.step
            if isinstance(event, Answered):
                self._step = event.done
            if isinstance(event, StageChanged):
                self._stepping = event.stage in _LISTENING
            self._last_word = event if isinstance(event, (RunFinished, RunFailed)) else None

    def _say_last_word(self, code: int, out_of_memory: bool) -> None:
        stopped = self._told is not None or self._killed or "stop" in self._run.wishes()
        self._run.granted("stop")
        if stopped:
            self._say(RunFinished(time.time(), "stopped", self._step))
            return
        error, hint = story_of(code, out_of_memory, self._launch.kind)
        self._say(RunFailed(time.time(), error, hint, _log_tail(self._run.log)))

    def _say(self, event: Event) -> None:
        if isinstance(event, (RunFinished, RunFailed)):
            self._last_word = event
        append_lines(self._run.events, to_record(event), mode=0o644)


@contextlib.contextmanager
def wakened_by_signals(asked: set[int]) -> Iterator[int]:
    """Have signals noted, and a file readable when one came. The end of a terminal is no matter of ours."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: asked.add(_END))
    for number in (_END, _KILL):
        signal.signal(number, lambda got, _frame: asked.add(got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    yield reading


def wait(wakeup: int) -> None:
    """Until a signal comes, at most until it is time to look again."""
    if select.select([wakeup], [], [], _LOOK_SECONDS)[0]:
        os.read(wakeup, 64)


def _log_tail(path: Path, most: int = 4096) -> str:
    """The end of the log, whole lines, as they will be shown: nothing in it is obeyed."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - most))
            text = log.read(most).decode(errors="replace")
    except OSError:
        return ""
    return (text.partition("\n")[2] if size > most else text).strip()
