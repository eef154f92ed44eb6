"""Rows of tokens, made once and kept: the same files, template, tokenizer and options need no second time.

A set that is worth it is divided among processes, each of which writes its part; the parts are joined in the order of
the rows, in a temporary folder that gets its name when it is whole. What nobody has asked for in a month goes away when
something new comes. A workspace that takes no files gets its rows in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from core.engine.batches.encoded_set import IDS, EncodedSet, read_set, write_set
from core.engine.batches.part_process import encode_parts
from core.engine.batches.recipe import Recipe
from core.engine.batches.tally import joined, with_bad_rows
from core.engine.batches.tokenise import tokenise
from core.errors import RecordError, WorkspaceError
from core.hardware import free_physical_cores
from core.i18n import _
from core.workspace import Workspace

Told = Callable[[float], None]
WORTH_KEEPING = 2000
"""Rows; fewer are made anew in less time than it takes to say so."""
_ROWS_PER_PROCESS = 4000
"""A process starts in half a second, in which another one makes about as many rows."""
_KEPT_SECONDS = 30 * 86400
_UNFINISHED = ".unfinished-"
_LOCKED_AFTER_SECONDS = 10.0
"""Its maker has its lock by then."""


def token_set(recipe: Recipe, on_progress: Told = lambda fraction: None) -> EncodedSet:
    """The rows of a recipe, from the cache where they are there.

    Args:
        on_progress: told the share that is done; what it raises ends the work, and nothing half is left.

    Raises:
        DataError: the data cannot be read.
        WorkspaceError: the disk is full.
    """
    count = len(recipe.examples)
    processes = _processes(recipe, count)
    if (count < WORTH_KEEPING and processes == 1) or not recipe.is_of_files:
        return _in_memory(recipe, on_progress)
    cache = Workspace(recipe.workspace).state / "cache" / "tokens"
    folder = cache / recipe.key
    if not recipe.data.overwrite_cache and (kept := _kept(folder)) is not None:
        on_progress(1.0)
        return kept
    with _temporary_folder(recipe, cache) as temporary:
        if temporary is None:
            return _in_memory(recipe, on_progress)
        try:
            _fill(temporary, recipe, processes, on_progress)
            _put_in_place(temporary, folder)
            return read_set(folder)
        except OSError as error:
            raise WorkspaceError(
                _("{path}: the tokens cannot be written: {reason}").format(
                    path=cache, reason=error.strerror or str(error)
                ),
                _("free some space; they need about 4 bytes for each token, and as much again on the way"),
            ) from error


def _processes(recipe: Recipe, count: int) -> int:
    most = recipe.data.preprocessing_num_workers or min(free_physical_cores(), count // _ROWS_PER_PROCESS)
    return max(1, min(most, count))


def _in_memory(recipe: Recipe, on_progress: Told) -> EncodedSet:
    count = len(recipe.examples)
    made = tokenise(recipe, on_row=lambda done: on_progress(done / max(count, 1)))
    return _with_bad_rows(made, recipe)


def _with_bad_rows(made: EncodedSet, recipe: Recipe) -> EncodedSet:
    """The report tells of rows that were left out before any were chosen, too."""
    made.report = with_bad_rows(made.report, recipe.examples.left_out, recipe.examples.problems)
    return made


def _kept(folder: Path) -> EncodedSet | None:
    try:
        found = read_set(folder)
        os.utime(folder)
    except (OSError, ValueError, LookupError, RecordError):
        return None
    return found


@contextlib.contextmanager
def _temporary_folder(recipe: Recipe, cache: Path) -> Iterator[Path | None]:
    """A folder beside the ones that are kept, held by a lock until it is renamed or removed; none without the right."""
    try:
        Workspace(recipe.workspace).make_state_folder()
        cache.mkdir(parents=True, exist_ok=True)
        _remove_old(cache)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache))
    except (OSError, WorkspaceError):
        yield None
        return
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock.

    Raises:
        OSError: somebody else holds it, or it is gone.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_old(cache: Path) -> None:
    """What nobody has asked for in a month, and what killed processes have left unfinished."""
    now = time.time()
    for folder in cache.iterdir():
        age = now - folder.stat().st_mtime
        if age > _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.name.startswith(_UNFINISHED) and age > _LOCKED_AFTER_SECONDS:
            with contextlib.suppress(OSError), _held(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, recipe: Recipe, processes: int, on_progress: Told) -> None:
    count = len(recipe.examples)
    if processes == 1:
        with (folder / IDS).open("wb") as ids:
            made = tokenise(recipe, ids=ids, on_row=lambda done: on_progress(done / count))
        write_set(folder, _with_bad_rows(made, recipe))
        return
    parts = encode_parts(recipe, count, processes, folder, on_progress)
    write_set(folder, _with_bad_rows(_join(parts, folder), recipe))


def _join(parts: list[Path], folder: Path) -> EncodedSet:
    """One set of several, their ids behind one another in the folder's file; each part leaves the disk at once."""
    sets = []
    with (folder / IDS).open("wb") as ids:
        for part in parts:
            made = read_set(part)
            with (part / IDS).open("rb") as file:
                shutil.copyfileobj(file, ids, 1 << 20)
            made.ids = made.ids[:0]
            sets.append(made)
            shutil.rmtree(part)
    lengths = np.concatenate([made.lengths for made in sets])
    return EncodedSet(
        np.empty(0, dtype=np.int32),
        np.cumsum(np.concatenate([[0], lengths]), dtype=np.int64),
        np.concatenate([made.targets for made in sets]),
        np.concatenate([made.examples for made in sets]),
        joined(made.report for made in sets),
    )


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Under its name at last; whoever was quicker with the same rows has the same right to it."""
    temporary.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        temporary.rename(folder)
    except OSError:
        if _kept(folder) is None:
            raise
