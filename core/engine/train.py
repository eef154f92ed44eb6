"""Trains what a run's folder describes: `python -P -m core.engine.train RUN_DIR [--resume CHECKPOINT]`.

A supervisor starts it and reads nothing but the folder. Its last event tells how it ended: finished, stopped, or failed
with a reason; where it cannot say that itself, because it was killed, the supervisor does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.config.load import load
from core.config.output import OutputOptions
from core.config.training import TRAINING
from core.engine.control import Control, StoppedEarly
from core.engine.failure import tell_failure
from core.engine.stages import make_loop
from core.engine.training.checkpoint import find_checkpoint, read_state
from core.engine.training.finish import finish
from core.engine.training.heap import keep_freed_memory
from core.engine.training.journal import Journal
from core.engine.training.setup import Start, assemble, decide, model_ready
from core.i18n import _
from core.runs.events import RunFinished
from core.runs.rundir import RunDirectory
from core.workspace import find_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0 ended as it should, 1 failed."""
    parser = argparse.ArgumentParser(prog="core.engine.train")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", default="", metavar="CHECKPOINT")
    typed = parser.parse_args(arguments)
    run, is_main = RunDirectory(typed.run.absolute()), os.environ.get("RANK", "0") == "0"
    journal, control = Journal(run, writes=is_main), Control(run, reads_wishes=is_main)
    control.listen()
    return train(run, typed.resume, journal, control)


def train(run: RunDirectory, resume: str, journal: Journal, control: Control) -> int:
    """Train, and tell how it ended."""
    try:
        _train(run, resume, journal, control)
    except StoppedEarly as early:
        control.granted(control.look())
        journal.tell(RunFinished(time.time(), "stopped", early.step), durable=True)
    except Exception as error:
        less_memory = _("take a smaller per_device_train_batch_size or cutoff_len, or quantization_bit 4")
        tell_failure(error, journal, less_memory=less_memory, kept=_("make room; finished checkpoints stay"))
        return 1
    return 0


def _train(run: RunDirectory, resume: str, journal: Journal, control: Control) -> None:
    settings = load(TRAINING, file=run.config)
    resume = resume or settings[OutputOptions].resume_from_checkpoint or ""
    resumed_from = find_checkpoint(run, resume) if resume else None
    start = Start(run, settings, find_workspace(), journal, control, resumed_from)
    with _stands_at(read_state(resumed_from).progress.step if resumed_from else 0):
        _go(start)


def _go(start: Start) -> None:
    run, journal = start.run, start.journal
    decided = decide(start)
    if decided.steps_left <= 0:
        _nothing_left(run, journal, decided.total_steps)
        return
    if start.resumed_from is None and journal.writes:
        journal.files.begin(None, 0)
    work = assemble(start, decided)
    keep_freed_memory()
    loop = make_loop(work)
    journal.tell(model_ready(work, loop.forward, decided.folder.name))
    finish(loop, loop.run())
    work.processes.leave()


@contextmanager
def _stands_at(step: int) -> Iterator[None]:
    """The step that a run stands at before it begins, for a stop before the first update."""
    try:
        yield
    except StoppedEarly as early:
        early.step = step
        raise


def _nothing_left(run: RunDirectory, journal: Journal, steps: int) -> None:
    """A finished run is not trained a step further."""
    message = _("there is nothing left to train: all {steps} steps are done").format(steps=steps)
    journal.warn(message, _("raise num_train_epochs or max_steps in a new run that goes on from this adapter"))
    journal.tell(RunFinished(time.time(), "completed", steps, _results(run)), durable=True)


def _results(run: RunDirectory) -> dict[str, float]:
    path = run.path / "all_results.json"
    try:
        return {name: float(value) for name, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):  # of no use to anybody but the reader
        return {}


if __name__ == "__main__":
    sys.exit(main())
