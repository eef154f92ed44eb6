"""A training's diary, and beside it the files that LLaMA-Factory and transformers write.

Only the first process writes. A disk that takes no more must not end a training: the checkpoint that could not be saved
says so by itself.
"""

from __future__ import annotations

from core.engine.diary import Diary
from core.engine.training.evaluate import Evaluated
from core.engine.training.factory_files import FactoryFiles
from core.engine.training.progress import Progress
from core.runs.events import Step
from core.runs.rundir import RunDirectory
from core.runs.told import log_line


class Journal(Diary):
    """Where a training tells what happens."""

    def __init__(self, run: RunDirectory, *, writes: bool = True) -> None:
        super().__init__(run, writes=writes)
        self.files = FactoryFiles(run.path)

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
