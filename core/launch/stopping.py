"""Ending a run, on a ladder: ask it, tell it, kill it. On the first two rungs it saves what it has.

All of them go to the supervisor or the run's folder, never to the trainer's pid; so they mean this run and no other
process, and the run's last word is written on every rung.
"""

from __future__ import annotations

import os
import signal
import time

from core.errors import RunError
from core.i18n import _
from core.runs.alive import is_alive, this_host
from core.runs.events import RunStarted
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, is_active, read_marks, state_of, wait_gone
from core.untrusted import inert_line


def stop(run: RunDirectory) -> None:
    """Ask a run to save and end after its current step; what waits, loads or collects answers ends at once.

    Raises:
        RunError: it does not run.
    """
    _refuse_ended(run)
    run.wish("stop")


def terminate(run: RunDirectory) -> None:
    """Tell a run to save and end now; it is killed when it has not within its time (a minute).

    Raises:
        RunError: it does not run, or not on this machine.
    """
    _signal(run, signal.SIGTERM)


def kill(run: RunDirectory) -> None:
    """End a run and everything that it started at once. What came after its last checkpoint is lost.

    Raises:
        RunError: it does not run, or not on this machine.
    """
    _signal(run, signal.SIGQUIT)


def wait_ended(run: RunDirectory, seconds: float) -> RunState:
    """Wait until a run has ended and nothing of it lives, at most so long; its state then."""
    deadline = time.monotonic() + seconds
    while is_active(state := state_of(run)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not is_active(state):
        wait_gone(run, max(0.0, deadline - time.monotonic()))
    return state


def _signal(run: RunDirectory, number: signal.Signals) -> None:
    _refuse_ended(run)
    started = read_marks(run).started
    if started is None or not started.pid or started.host != this_host():
        host = inert_line(started.host) if started else "?"
        told = _("the run {name} is on another machine: {host}").format(name=inert_line(run.name), host=host)
        raise RunError(told, _("finetui runs stop without --now reaches it through its folder"))
    try:
        _tell(started, number)
    except ProcessLookupError:  # it ended between the look at its state and here
        _refuse_ended(run)


def _tell(started: RunStarted, number: signal.Signals) -> None:
    if not is_alive(started.pid, started.started):
        raise ProcessLookupError
    os.kill(started.pid, number)


def _refuse_ended(run: RunDirectory) -> None:
    state = state_of(run)
    if not is_active(state):
        raise RunError(_("the run {name} does not run: {state}").format(name=inert_line(run.name), state=state))
