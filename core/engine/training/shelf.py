"""The checkpoints of a run: saved, taken up again, thrown out when there are too many.

A disk that takes no more costs a checkpoint, not the run: those that are finished stay, and the run says so and goes
on. Only the model at the end has to be written, or the run has failed.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from core.engine.training.checkpoint import (
    NotWritten,
    TrainerTensors,
    age,
    read_state,
    read_tensors,
    read_weights,
    remove_unfinished,
    what_is_kept,
    write_trainer,
    write_weights,
    write_whole,
)
from core.engine.training.progress import Effective, Place, Progress, TrainerState
from core.engine.training.random_state import random_state, set_random_state
from core.engine.training.work import Work
from core.errors import RunError
from core.i18n import _
from core.runs.events import CheckpointRemoved, CheckpointSaved


class Shelf:
    """The checkpoints of one run."""

    def __init__(self, work: Work) -> None:
        self._work = work
        if work.processes.is_main:
            remove_unfinished(work.run)

    def save(self, progress: Progress, effective: Effective) -> bool:
        """Save a checkpoint at this step; what stands at `save_total_limit` goes. Whether it is there."""
        work = self._work
        random, is_saved = work.processes.gather(random_state(work.processes.device)), False
        if work.processes.is_main:
            folder, began = work.run.checkpoint(progress.step), time.perf_counter()
            best = progress.standing.best_step == progress.step
            try:
                size = write_whole(folder, lambda inside: self._write(inside, progress, effective, random))
            except NotWritten as error:
                work.journal.warn(error.message, f"{error.hint}; {what_is_kept(work.run)}")
            else:
                path = str(folder.relative_to(work.run.path))
                seconds = time.perf_counter() - began
                saved = CheckpointSaved(time.time(), progress.step, path, size, seconds, best)
                work.journal.tell(saved, durable=True)
                self._throw_out(progress)
                is_saved = True
        (is_saved,) = work.processes.agree(is_saved)
        return is_saved

    def _write(self, folder: Path, progress: Progress, effective: Effective, random: list[object]) -> None:
        work = self._work
        work.tunable.save(folder)
        work.journal.files.write_state(folder, progress, self.best_folder(progress))
        if work.output.save_only_model:
            if work.output.load_best_model_at_end:
                write_weights(folder, work.tunable.state())
            return
        scaler = work.processes.scaler
        state = TrainerState(
            saved_at=time.time(),
            total_steps=work.total_steps,
            progress=progress,
            effective=effective,
            place=place_of(work),
        )
        tensors = TrainerTensors(
            {
                "optimizer": work.optimizer.state_dict(),
                "schedule": work.schedule.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "stage": dict(work.memory.state_dict()) if work.memory is not None else {},
            },
            random,
        )
        write_trainer(folder, state, work.tunable.state(), tensors)

    def _throw_out(self, progress: Progress) -> None:
        """Remove the oldest above the limit, but never the best."""
        work, limit = self._work, self._work.output.save_total_limit
        if limit is None:
            return
        by_age = sorted(work.run.saved_checkpoints(), key=age)
        for folder in by_age[:-limit]:
            step = int(folder.name.partition("-")[2])
            if step == progress.standing.best_step:
                continue
            doomed = folder.with_name(f".unfinished-{folder.name}")  # no longer a checkpoint once it has begun to go
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            work.journal.tell(CheckpointRemoved(time.time(), step, str(folder.relative_to(work.run.path))))

    def best_folder(self, progress: Progress) -> str | None:
        """The best checkpoint, where it is saved."""
        best = progress.standing.best_step
        if best is None or not (best == progress.step or self._work.run.checkpoint(best).is_dir()):
            return None
        return str(self._work.run.checkpoint(best).relative_to(self._work.run.path))

    def take_up(self, folder: Path) -> Progress:
        """Put weights, optimiser, schedule and random generators back, and cut the logs off at that step.

        Raises:
            RunError: the checkpoint is of another training.
        """
        work, state = self._work, read_state(folder)
        _check_same_data(folder, state.place, place_of(work))
        tensors = read_tensors(folder)
        work.tunable.restore(read_weights(folder))
        work.optimizer.load_state_dict(tensors.optimizer["optimizer"])
        work.schedule.load_state_dict(tensors.optimizer["schedule"])
        if work.processes.scaler is not None and tensors.optimizer["scaler"]:
            work.processes.scaler.load_state_dict(tensors.optimizer["scaler"])
        if work.memory is not None:
            work.memory.load_state_dict(tensors.optimizer.get("stage", {}))
        self._restore_random(tensors)
        if work.journal.writes:
            work.journal.files.begin(folder / "trainer_state.json", state.progress.step)
        return state.progress

    def _restore_random(self, tensors: TrainerTensors) -> None:
        processes = self._work.processes
        if len(tensors.random) != processes.world:
            message = _("it ran in {before} processes and goes on in {now}: dropout will draw other numbers")
            self._work.journal.warn(message.format(before=len(tensors.random), now=processes.world))
        set_random_state(tensors.random[processes.rank % len(tensors.random)], processes.device)

    def go_back_to(self, step: int) -> bool:
        """Take the weights of an earlier checkpoint; False when a full disk has kept it from being saved."""
        folder = self._work.run.checkpoint(step)
        if not folder.is_dir():
            message = _("the best checkpoint, {name}, could not be saved: the last weights are kept instead")
            self._work.journal.warn(message.format(name=folder.name))
            return False
        self._work.tunable.restore(read_weights(folder))
        return True

    def save_final(self, progress: Progress, best: bool) -> None:
        """Write what chat loads into the run's own folder, each file whole.

        Raises:
            NotWritten: the disk takes no more.
        """
        work = self._work
        if work.processes.is_main:
            began = time.perf_counter()
            folder = work.run.path / ".model"  # a name that no folder of the user has
            size = write_whole(folder, work.tunable.save)
            for path in sorted(folder.iterdir()):
                path.replace(work.run.path / path.name)
            folder.rmdir()
            saved = CheckpointSaved(time.time(), progress.step, ".", size, time.perf_counter() - began, best)
            work.journal.tell(saved, durable=True)
        work.processes.wait()


def place_of(work: Work) -> Place:
    """Which data this training learns from, and in which portions."""
    lengths = work.updates.lengths
    return Place(len(lengths), int(lengths.sum()), work.trained_tokens, work.updates.rows_per_update)


def _check_same_data(folder: Path, then: Place, now: Place) -> None:
    if then == now:
        return
    if replace(then, rows_per_update=now.rows_per_update) == now:
        raise RunError(
            _("{folder} was trained with {then} rows an update, now it would be {now}").format(
                folder=folder, then=then.rows_per_update, now=now.rows_per_update
            ),
            _("batch size × accumulation × processes has to stay, for the order of the rows to go on"),
        )
    raise RunError(
        _(
            "{folder} was trained on other data: {then} rows and {then_tokens} tokens, now {now} and {now_tokens}"
        ).format(folder=folder, then=then.rows, then_tokens=then.tokens, now=now.rows, now_tokens=now.tokens),
        _("put the data back, or begin a new run from the adapter: adapter_name_or_path"),
    )
