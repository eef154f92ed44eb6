"""Where a pull works until its model is whole: a hidden folder beside the models, on the same disk.

A finished model is renamed into place, so a half one never has a model's name. The folder goes away however the pull
ends; that of a killed pull is recognised by its free lock and removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import PullFailed
from core.i18n import _
from core.models.figures import size_text
from core.untrusted import inert_line

PREFIX = ".pulling-"
_LOCK = "lock"


@contextlib.contextmanager
def scratch_folder(models: Path, name: str) -> Iterator[Path]:
    """A folder to work in, for as long as the block lasts."""
    models.mkdir(parents=True, exist_ok=True)
    remove_leftovers(models)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=models))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(models: Path) -> None:
    """Remove the folders of pulls that were killed."""
    for folder in models.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("a") as lock:
            if _is_free(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def publish(folder: Path, destination: Path) -> None:
    """Make a finished folder a model: readable for whoever may read folders here, on the disk, and under its name."""
    for file in folder.iterdir():
        file.chmod(folder.stat().st_mode & 0o666)  # safetensors writes 0600
        _sync(file)
    try:
        folder.rename(destination)
    except OSError:
        if not destination.is_dir():  # else another pull of the same model was faster, and this one's is as good
            raise
    _sync(destination.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuse before anything is fetched when the disk cannot take it.

    Raises:
        PullFailed: says how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise PullFailed(
            _("too little room on the disk of {folder}: {needed} needed, {free} free").format(
                folder=inert_line(str(folder)), needed=size_text(needed_bytes), free=size_text(free)
            ),
            _("make room, or use a workspace on another disk with --workspace"),
        )
