"""Rows added to the data sets of a workspace: one more line or element, and one more entry in dataset_info.json.

These files belong to the user and to other programs: what stands in them keeps its bytes, an addition is spliced in
before the closing bracket, and every rewritten file is replaced whole. One writer at a time holds the folder's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import WorkspaceError
from core.i18n import _
from core.jsonl import Json, append_lines, numbered_lines

INFO = "dataset_info.json"
_NAME = re.compile(r"\w[\w.\-]*")


def check_name(name: str) -> None:
    """A data set's name is a file's name too.

    Raises:
        WorkspaceError: it would be no plain one.
    """
    if not _NAME.fullmatch(name):
        raise WorkspaceError(
            _("{name!r} cannot be the name of a data set").format(name=name),
            _("take letters, digits, '_', '-' and '.', beginning with a letter or digit"),
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a data folder, which is made if need be; a full disk or a missing right is a WorkspaceError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # a shared disk without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
    except OSError as error:
        raise WorkspaceError(
            _("{path}: the data set cannot be written: {error}").format(
                path=error.filename or folder, error=error.strerror
            ),
            _("free some space or change the permissions"),
        ) from error


def read_info(folder: Path) -> dict[str, Json]:
    """The entries of dataset_info.json; none where there is no such file."""
    path = folder / INFO
    info = _parse(path, path.read_bytes()) if path.exists() else {}
    if not isinstance(info, dict) or not all(isinstance(entry, dict) for entry in info.values()):
        raise WorkspaceError(_("{path}: expected an object with one object for each data set").format(path=path))
    return info


def register(folder: Path, name: str, entry: Json) -> None:
    """Enter a data set; one of that name that is entered already stays as it is."""
    path = folder / INFO
    if name not in read_info(folder):
        text = json.dumps({name: entry}, ensure_ascii=False, indent=2)[1:-1].strip("\n")
        _splice(path, path.read_bytes() if path.exists() else b"{}", text, b"}")


def append_row(path: Path, row: Json) -> None:
    """Add a row to a file of JSON lines or to a JSON array."""
    data = path.read_bytes() if path.exists() else b""
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        _parse(path, data)
        text = json.dumps([row], ensure_ascii=False, indent=2)[1:-1].strip("\n")
        _splice(path, data, text, b"]")
    else:
        append_lines(path, row, mode=0o666)


def first_row(path: Path) -> Any:
    """The first row of a file of JSON lines or of a JSON array; None when it has none."""
    data = path.read_bytes()
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        rows = _parse(path, data)
        return rows[0] if rows else None
    number, line = next(numbered_lines(data + b"\n"), (0, b""))
    return _parse(path, line, number) if number else None


def _parse(path: Path, data: bytes, line: int = 1) -> Any:
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        where, problem = line + error.lineno - 1, error.msg
    except (ValueError, RecursionError) as error:
        where, problem = line, str(error)
    raise WorkspaceError(
        _("{path}:{line}: no JSON: {problem}").format(path=path, line=where, problem=problem),
        _("mend the file; nothing was written to it"),
    )


def _splice(path: Path, data: bytes, text: str, bracket: bytes) -> None:
    """Put `text` before the closing bracket of valid JSON and replace the file whole."""
    head = data[: data.rindex(bracket)].rstrip()
    comma = b"" if head[-1:] in b"[{" else b","
    # A lone surrogate, which UTF-8 cannot carry, goes back to the escape that it came from.
    added = text.encode(errors="backslashreplace")
    replace_file(path, head + comma + b"\n" + added + b"\n" + bracket + b"\n")


def replace_file(path: Path, data: bytes) -> None:
    """Put other contents in a file's place, whole or not at all; its mode stays."""
    path = path.resolve()  # a link stays a link
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(handle, path.stat().st_mode & 0o777 if path.exists() else 0o644)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
