"""JSON, one object a line: written whole, read with patience.

A line is written by one unbuffered `write` that ends in a newline, to a file opened for appending: several writers
do not tear each other's lines, and a kill loses at most the line being written. A reader takes what ends in a
newline and reports the rest as torn.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def dump_line(record: Json) -> bytes:
    """One line of UTF-8 with its newline. Text with lone surrogates is written with JSON escapes instead."""
    try:
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def append_lines(path: Path, *records: Json, mode: int = 0o600, after_torn: Json | None = None) -> None:
    """Append records in one write. The file is made with `mode` when it is not there.

    Args:
        after_torn: written first when a killed writer left a line that is not whole, so that readers can tell that
            line from a mistake.
    """
    data = b"".join(map(dump_line, records))
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        with contextlib.suppress(OSError):  # a shared disk without locks: one write is the best there is
            fcntl.flock(handle, fcntl.LOCK_EX)
        data = _mend(handle, after_torn) + data
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)


def _mend(handle: int, after_torn: Json | None) -> bytes:
    """What has to come before new lines: nothing, or the end of the last line."""
    size = os.fstat(handle).st_size
    if size == 0 or os.pread(handle, 1, size - 1) == b"\n":
        return b""
    if after_torn is None or _is_whole(torn_tail(os.pread(handle, size, 0))):
        return b"\n"
    return b"\n" + dump_line(after_torn)


def _is_whole(line: bytes) -> bool:
    """Whether only the newline is missing, as some editors leave it."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def numbered_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) of every whole line that is not blank; `torn_tail` has what follows them."""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if line.strip():
            yield number, line


def torn_tail(data: bytes) -> bytes:
    """The bytes after the last newline: the line that a killed writer did not finish, or nothing."""
    return data[data.rfind(b"\n") + 1 :]
