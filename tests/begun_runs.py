"""Runs that tests begin: of which command, what they told, and that none outlives its test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from core.launch.stopping import kill, wait_ended
from core.runs.alive import start_time
from core.runs.events import Event
from core.runs.follow import Follower
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of, wait_gone

SLEEP = "for _ in $(seq 2000); do sleep 0.05; done"
"""Longer than any test takes; not for ever, since a run outlives a test that is killed."""


def shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", line)


def events(run: RunDirectory) -> list[Event]:
    return Follower(run).poll_all()


def last_word(run: RunDirectory) -> Event:
    wait_ended(run, 20)
    assert wait_gone(run)
    return events(run)[-1]


def alive(pid_file: Path) -> bool:
    try:
        return start_time(int(pid_file.read_text())) is not None
    except (OSError, ValueError):
        return False


def until(true: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def end_runs(runs: Iterable[RunDirectory]) -> None:
    """Kill those that still run, and wait until they are gone."""
    for run in runs:
        if is_active(state_of(run)):
            kill(run)
            wait_ended(run, 5)
