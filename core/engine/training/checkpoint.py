"""Checkpoints: whole or not there.

One is written into a hidden folder beside the others, forced to the disk, and renamed; a kill or a full disk leaves a
hidden folder that nobody takes for a checkpoint, and the next run removes it. It holds what chat loads, and in
`trainer/` what only a resume needs:

    trainer/state.json           counters, settings that were decided, which data it was
    trainer/weights.safetensors  what is trained, exactly
    trainer/optimizer.pt         optimiser, schedule, loss scale, what a stage remembers besides
    trainer/random.pt            the random generators of every process

Nothing in it is read by running code from it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.engine.training.progress import SCHEMA, TrainerState
from core.errors import RecordError, RunError
from core.i18n import _
from core.records import from_record, registry, to_record
from core.runs.rundir import RunDirectory

_STATES = registry(TrainerState)
_HIDDEN = ".unfinished-"


class NotWritten(RunError):
    """A folder could not be written to its end; nothing of it is left."""


@dataclass(frozen=True)
class TrainerTensors:
    """The tensors that a resume needs besides the weights."""

    optimizer: dict[str, Any]
    """States of `optimizer`, `schedule`, `scaler`, and of what a `stage` remembers besides."""
    random: list[Any]
    """By process."""


def write_whole(folder: Path, write: Callable[[Path], None]) -> int:
    """Make a folder that is complete as soon as it is there; one of that name is replaced.

    Args:
        write: puts the contents into the folder that it is given.

    Returns:
        The bytes written.

    Raises:
        NotWritten: the disk took no more.
    """
    hidden, old = folder.with_name(_HIDDEN + folder.name), folder.with_name(f"{_HIDDEN}old-{folder.name}")
    for left in (hidden, old):
        shutil.rmtree(left, ignore_errors=True)
    with said_if_full(folder):
        try:
            hidden.mkdir(parents=True)
            write(hidden)
            size = _force_to_disk(hidden)
            if folder.exists():  # half removed under its name it would be taken for a whole one after a kill
                folder.rename(old)
            hidden.rename(folder)
            _sync(folder.parent)
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
    shutil.rmtree(old, ignore_errors=True)
    return size


@contextmanager
def said_if_full(folder: Path) -> Iterator[None]:
    """Turn whatever libraries raise when a disk takes no more into one error."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch says "unexpected pos", which is what a short write looks like from inside its archive
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        free = shutil.disk_usage(next(path for path in folder.parents if path.exists())).free
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise NotWritten(
            _("{folder} cannot be written: {reason}").format(folder=folder, reason=reason),
            _("{free:.1f} GB are free there; make room, or set save_total_limit").format(free=free / 1e9),
        ) from error


def remove_unfinished(run: RunDirectory) -> None:
    """Remove what a killed process left half written."""
    for path in run.checkpoints.glob(_HIDDEN + "*"):
        shutil.rmtree(path, ignore_errors=True)


def _force_to_disk(folder: Path) -> int:
    size = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        size += path.stat().st_size if path.is_file() else 0
        _sync(path)
    _sync(folder)
    return size


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks know no fsync of folders
            raise
    finally:
        os.close(handle)


# --- what a resume needs ----------------------------------------------------------------------------------------


def write_trainer(folder: Path, state: TrainerState, weights: Mapping[str, Tensor], rest: TrainerTensors) -> None:
    """Write `trainer/` into a checkpoint's folder."""
    place = folder / "trainer"
    place.mkdir()
    save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, _weights(folder))
    torch.save(rest.optimizer, place / "optimizer.pt")
    torch.save(rest.random, place / "random.pt")
    (place / "state.json").write_text(json.dumps(to_record(state), indent=1))


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write nothing but the trained weights: enough to go back to, not enough to go on from."""
    (folder / "trainer").mkdir()
    save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, _weights(folder))


def _weights(folder: Path) -> Path:
    return folder / "trainer" / "weights.safetensors"


def read_state(folder: Path) -> TrainerState:
    """A checkpoint's counters and settings.

    Raises:
        RunError: it has none, or a newer finetui wrote them.
    """
    path = folder / "trainer" / "state.json"
    try:
        record = json.loads(path.read_bytes())
        if isinstance(record, dict) and record.get("schema", SCHEMA) > SCHEMA:
            raise RunError(_("{path} was written by a newer finetui").format(path=path), _("update this one"))
        return from_record(_STATES, record)
    except OSError as error:
        raise RunError(
            _("{folder} holds no state to go on from").format(folder=folder),
            _("save_only_model leaves none out; give the folder as adapter_name_or_path to train it further"),
        ) from error
    except (ValueError, RecordError) as error:
        raise RunError(_("{path} is broken: {error}").format(path=path, error=error)) from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The trained weights of a checkpoint."""
    return dict(load_file(_weights(folder)))


def read_tensors(folder: Path) -> TrainerTensors:
    """Optimiser and random generators of a checkpoint."""
    place = folder / "trainer"
    return TrainerTensors(
        torch.load(place / "optimizer.pt", weights_only=True, map_location="cpu"),
        torch.load(place / "random.pt", weights_only=True, map_location="cpu"),
    )


def find_checkpoint(run: RunDirectory, name: str) -> Path:
    """The checkpoint that a name means: `true` the one written last, else a folder's name, a step or a path.

    Raises:
        RunError: there is none.
    """
    whole = [path for path in run.saved_checkpoints() if (path / "trainer" / "state.json").is_file()]
    if name.lower() in ("true", "last", "newest"):
        if not whole:
            raise RunError(
                _("{run} has no checkpoint to go on from").format(run=run.path),
                _("they are saved every save_steps updates; start the run again"),
            )
        return max(whole, key=age)
    wanted = [run.checkpoints / name, Path(name).absolute()]
    if name.isdigit():
        wanted.insert(0, run.checkpoint(int(name)))
    for path in wanted:
        if path.is_dir():
            return path
    known = ", ".join(path.name for path in whole) or _("there is none")
    raise RunError(_("{run} has no checkpoint {name!r}").format(run=run.path, name=name), known)


def age(folder: Path) -> tuple[float, str]:
    """Sorts checkpoints by when they were written: after a resume from an earlier one, steps are in no such order."""
    state = folder / "trainer" / "state.json"
    return ((state if state.is_file() else folder).stat().st_mtime, folder.name)


def what_is_kept(run: RunDirectory) -> str:
    """Which checkpoints a run has, as a phrase."""
    saved = run.saved_checkpoints()
    if not saved:
        return _("no checkpoint is saved yet")
    return _("the last checkpoint is {name}").format(name=saved[-1].name)
