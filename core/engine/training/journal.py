"""A run's diary: events for finetui, and beside them the files that LLaMA-Factory and transformers write.

Only the first process writes. A disk that takes no more must not end a training: what cannot be noted is said on
standard error, the checkpoint that could not be saved says so by itself.
"""

from __future__ import annotations

import os
import sys
import time

from core.engine.training.evaluate import Evaluated
from core.engine.training.factory_files import FactoryFiles
from core.engine.training.progress import Progress
from core.jsonl import append_lines
from core.records import to_record
from core.runs.events import Event, Stage, StageChanged, Step, Warned
from core.runs.rundir import RunDirectory
from core.runs.told import log_line


class Journal:
    """Where a training tells what happens."""

    def __init__(self, run: RunDirectory, *, writes: bool = True) -> None:
        self.run = run
        self.writes = writes
        self.files = FactoryFiles(run.path)
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

    def warn(self, message: str, hint: str = "") -> None:
        """Something that does not stop the run."""
        self.tell(Warned(time.time(), message, hint))
        self.say(f"warning: {message}" + (f" ({hint})" if hint else ""))

    def say(self, line: str) -> None:
        """A line in the log."""
        if self.writes:
            print(line, flush=True)

    def point(self, step: Step, updates_per_second: float) -> None:
        """A point of the curves."""
        if not self.writes:
            return
        self.tell(step)
        self.say(log_line(step, updates_per_second))
        self.files.add_point(step)

    def evaluated(self, found: Evaluated, progress: Progress, remaining: float) -> None:
        """What the evaluation rows say, one event a data set."""
        if not self.writes:
            return
        for result in found.results:
            self.tell(result)
        row = self.files.add_evaluation(found, progress, remaining)
        self.say(", ".join(f"{name}: {value:.5g}" for name, value in row.items()))


def _sync(run: RunDirectory) -> None:
    handle = os.open(run.events, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
