"""A run's diary: what happens, as events, and lines in its log.

A disk that takes no more must not end a run: what cannot be noted is said on standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from core.jsonl import append_lines
from core.records import to_record
from core.runs.events import Event, Stage, StageChanged, Warned
from core.runs.rundir import RunDirectory


class Diary:
    """Where a training or an evaluation tells what happens; of several processes only the first one writes."""

    def __init__(self, run: RunDirectory, *, writes: bool = True) -> None:
        self.run = run
        self.writes = writes
        self._stage: Stage | None = None

    def tell(self, event: Event, *, durable: bool = False) -> None:
        """Append an event.

        Args:
            durable: wait until it is on the disk.
        """
        if not self.writes:
            return
        try:
            append_lines(self.run.events, to_record(event), mode=0o644)
            if durable:
                _sync(self.run)
        except OSError as error:
            print(f"events.jsonl: {error}", file=sys.stderr)

    @property
    def busy_with(self) -> Stage | None:
        """What was told last; None before anything was."""
        return self._stage

    def stage(self, stage: Stage, fraction: float | None = None) -> None:
        """What it is busy with; the same stage again is told only with a fraction."""
        if stage != self._stage or fraction is not None:
            self._stage = stage
            self.tell(StageChanged(time.time(), stage, fraction))

    @contextmanager
    def meanwhile(self, stage: Stage, seconds: float) -> Iterator[None]:
        """What it is busy with in between, where that takes so long; then it is with what it was before."""
        before = self._stage
        timer = Timer(seconds, self.stage, [stage])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if before is not None:
                self.stage(before)

    def warn(self, message: str, hint: str = "") -> None:
        """Something that does not stop the run."""
        self.tell(Warned(time.time(), message, hint))
        self.say(f"warning: {message}" + (f" ({hint})" if hint else ""))

    def say(self, line: str) -> None:
        """A line in the log."""
        if self.writes:
            print(line, flush=True)


def _sync(run: RunDirectory) -> None:
    handle = os.open(run.events, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
