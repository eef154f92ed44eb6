"""Trains what a run's folder describes: `python -P -m core.engine.train RUN_DIR [--resume CHECKPOINT]`.

A supervisor starts it and reads nothing but the folder. Its last event tells how it ended: finished, stopped, or failed
with a reason; where it cannot say that itself, because it was killed, the supervisor does.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.config.load import load
from core.config.output import OutputOptions
from core.config.training import TRAINING
from core.engine.training.checkpoint import find_checkpoint, read_state
from core.engine.training.control import Control, StoppedEarly
from core.engine.training.finish import finish
from core.engine.training.heap import keep_freed_memory
from core.engine.training.journal import Journal
from core.engine.training.loop import Loop
from core.engine.training.memory import is_out_of_memory
from core.engine.training.setup import Start, assemble, decide, model_ready
from core.errors import FinetuiError
from core.i18n import _
from core.runs.events import RunFailed, RunFinished, Stage
from core.runs.rundir import RunDirectory
from core.workspace import find_workspace

_LOG_TAIL = 4096


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
    except FinetuiError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr, flush=True)
        journal.tell(RunFailed(time.time(), error.message, error.hint), durable=True)
        return 1
    except Exception as error:
        told = traceback.format_exc()
        print(told, file=sys.stderr, flush=True)
        journal.tell(_failed(error, told, journal.busy_with), durable=True)
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
    loop = Loop(work)
    journal.tell(model_ready(work, loop.forward, decided.folder.name))
    finish(work, loop.shelf, loop.run())
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


def _failed(error: Exception, told: str, busy_with: Stage | None) -> RunFailed:
    """The last word about what nobody expected."""
    if is_out_of_memory(error):
        return RunFailed(
            time.time(),
            _("out of memory: {error}").format(error=str(error).splitlines()[0] if str(error) else "MemoryError"),
            _("the model alone is too large here: take quantization_bit 4, pure_bf16, or a smaller model")
            if busy_with == "loading"
            else _("take a smaller per_device_train_batch_size or cutoff_len, or quantization_bit 4"),
            told[-_LOG_TAIL:],
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = _("the disk is full: {error}").format(error=error)
        return RunFailed(time.time(), message, _("make room; finished checkpoints stay"), told[-_LOG_TAIL:])
    if "Connection closed by peer" in str(error):  # gloo, where another process is gone
        return RunFailed(
            time.time(), _("another process of this run has ended"), _("the log has its trace"), told[-_LOG_TAIL:]
        )
    message = f"{type(error).__name__}: {error}"
    return RunFailed(time.time(), message, _("this is a defect of finetui; the log has its trace"), told[-_LOG_TAIL:])


if __name__ == "__main__":
    sys.exit(main())
