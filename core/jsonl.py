"""JSON, one object a line: written whole, read with patience.

A line is written by one unbuffered `write` that ends in a newline, to a file opened for appending: several writers
do not tear each other's lines, and a kill loses at most the line being written. A reader takes what ends in a
newline and reports the rest as torn.
"""

from __future__ import annotations

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


def append_lines(path: Path, *records: Json, mode: int = 0o600) -> None:
    """Append records in one write. The file is made with `mode` when it is not there."""
    data = b"".join(map(dump_line, records))
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if _ends_torn(handle):  # a killed writer's last line: ours must not become part of it
            data = b"\n" + data
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)


def _ends_torn(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def numbered_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) of every whole line that is not blank; `torn_tail` has what follows them."""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if line.strip():
            yield number, line


def torn_tail(data: bytes) -> bytes:
    """The bytes after the last newline: the line that a killed writer did not finish, or nothing."""
    return data[data.rfind(b"\n") + 1 :]
