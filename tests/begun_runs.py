"""Runs that tests begin: of which command, what they told, and that none outlives its test."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from core.errors import RunError
from core.launch.stopping import kill, wait_ended
from core.runs.alive import start_time
from core.runs.events import Event
from core.runs.follow import Follower
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of, wait_gone
from waiting import PATIENCE

SLEEP = "for _ in $(seq 2000); do sleep 0.05; done"
"""Longer than any test takes; not for ever, since a run outlives a test that is killed."""


def shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", line)


def events(run: RunDirectory) -> list[Event]:
    return Follower(run).poll_all()


def last_word(run: RunDirectory) -> Event:
    wait_ended(run, PATIENCE)
    assert wait_gone(run, PATIENCE)
    return events(run)[-1]


def alive(pid_file: Path) -> bool:
    try:
        return start_time(int(pid_file.read_text())) is not None
    except (OSError, ValueError):
        return False


def end_runs(runs: Iterable[RunDirectory]) -> None:
    """Kill those that still run, and wait until they are gone."""
    for run in runs:
        with suppress(RunError):  # it ended by itself meanwhile
            if is_active(state_of(run)):
                kill(run)
        wait_ended(run, PATIENCE)
