"""The events of a run as they come, for scripts."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.runs.events import Event, RunFailed, RunFinished
from core.runs.follow import Follower
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of, wait_gone


def follow(run: RunDirectory, *, seconds: float = 0.25) -> Iterator[Event]:
    """Yield a run's events from its beginning until it has ended, or is lost.

    Args:
        seconds: between two looks.
    """
    follower = Follower(run)
    while True:
        active = is_active(state_of(run))  # before the look: what comes just before the end is not missed
        events = follower.poll_all()
        yield from events
        if not active and not events:
            return
        if events and isinstance(events[-1], (RunFinished, RunFailed)):
            wait_gone(run)
        elif active:
            time.sleep(seconds)
