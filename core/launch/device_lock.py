"""One run at a time on a device, the others in the order in which they came.

A run draws a ticket: a file that it holds locked for as long as it or its trainer lives. It has its devices when no
living ticket before its own names one of them. All tickets are drawn under one lock, so that two runs that want two
devices each cannot wait for one another; the system releases a lock with its last holder, however that one ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

LOCKS_VARIABLE = "FINETUI_LOCKS"
"""The folder of the tickets, instead of the user's own: for tests, and for users who share a machine's devices."""


def lock_folder() -> Path:
    """Where this user's tickets lie; made when it is not there.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    if named := os.environ.get(LOCKS_VARIABLE):
        folder = Path(named)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "finetui" if runtime else Path(tempfile.gettempdir()) / f"finetui-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder


def is_holder(holder: str) -> bool:
    """Whether somebody lives who drew a ticket under this name, or was handed it, like a trainer by its supervisor."""
    with contextlib.suppress(OSError):
        for path in lock_folder().glob("*.ticket"):
            if (_told_by_living(path) or {}).get("holder") == holder:
                return True
    return False


class Ticket:
    """A place in the queue for some devices, held until `release` or the end of every process that has it open."""

    def __init__(self, devices: Sequence[str], holder: str, folder: Path | None = None) -> None:
        """Draw a ticket.

        Args:
            devices: what is wanted, `cpu`, `cuda-0`.
            holder: what others are told who wait for it: the run's folder.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder = folder or lock_folder()
        self.devices = tuple(devices)
        with self._guarded():
            self.number = 1 + max(self._numbers(), default=0)
            self._file: IO[str] = self._path(self.number).open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            json.dump({"devices": self.devices, "holder": holder, "pid": os.getpid()}, self._file)
            self._file.flush()

    def ahead(self) -> tuple[str, str] | None:
        """The device that is not free and who has it or gets it before; None when it is this one's turn."""
        with self._guarded():
            for number in sorted(self._numbers()):
                if number >= self.number:
                    return None
                other = self._living(number)
                shared = [device for device in self.devices if device in other.get("devices", ())]
                if shared:
                    return shared[0], str(other.get("holder", ""))
        return None

    def fileno(self) -> int:
        """For handing it on to a child, which then holds it too."""
        return self._file.fileno()

    def release(self) -> None:
        """Leave the queue."""
        with contextlib.suppress(OSError):
            self._path(self.number).unlink(missing_ok=True)
        self._file.close()

    def _living(self, number: int) -> dict[str, Any]:
        """What a ticket says; nothing for one whose holders are gone, which is thrown away."""
        told = _told_by_living(self._path(number))
        if told is None:
            with contextlib.suppress(OSError):
                self._path(number).unlink(missing_ok=True)
        return told or {}

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.ticket"

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self._folder.glob("*.ticket") if path.stem.isdigit()]

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        with (self._folder / "guard").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield


def _told_by_living(path: Path) -> dict[str, Any] | None:
    """What a ticket says; None for one whose holders are gone."""
    with contextlib.suppress(OSError, ValueError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            told = json.load(file)
            return told if isinstance(told, dict) else {}
        return None
    return {}
