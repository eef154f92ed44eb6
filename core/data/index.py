"""A file's index: where its rows begin, in which encoding, and what is odd about the file as a whole.

It is made once. For files that take time it is kept in the user's cache folder under the file's path, with the size
and the time of change that it holds for, and mapped into memory from there: opening a million rows costs milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.data.encoding import BOM, Encoding, encoding_of
from core.data.problems import Fault
from core.data.scan import Bytes, Layout, chunks, scan
from core.errors import DataError
from core.i18n import _

_MAGIC = b"finetui rows 1\n"
_WORTH_KEEPING = 4 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file without reading its rows."""

    layout: Layout
    encoding: Encoding
    marked: bool
    """Whether a byte order mark stands before the text."""
    crlf: int
    lf: int
    fault: Fault | None = None
    """What keeps the file from being read to its end."""
    fault_line: int = 0


@dataclass(frozen=True, slots=True)
class FileIndex:
    """The rows of a file: row i is its bytes from `starts[i]` to `starts[i + 1]`, and begins in line `lines[i]`."""

    read: Callable[[int, int], bytes]
    """The bytes from an offset up to another; fewer when the file has been cut off meanwhile."""
    facts: FileFacts
    starts: Sequence[int]
    lines: Sequence[int]


def open_index(path: Path, layout: Layout | None = None, delimiter: bytes = b",") -> FileIndex:
    """The index of a text file, from the cache or made now. Without a layout the first character tells it.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        file = path.open("rb")
        status = os.fstat(file.fileno())
        data: Bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if status.st_size else b""
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}").format(path=path, reason=error.strerror),
            _("look at its name and permissions"),
        ) from error
    key = {"path": str(path.resolve()), "size": status.st_size, "changed": status.st_mtime_ns, "layout": layout or ""}
    kept = _kept(key) if status.st_size >= _WORTH_KEEPING else None
    if kept is not None:
        facts, starts, lines = kept
        readable = _readable(data, facts.encoding, facts.layout)
    else:
        readable, facts, starts, lines = _make(data, layout, delimiter)
        if status.st_size >= _WORTH_KEEPING:
            _keep(key, facts, starts, lines)
    # The map is for finding the rows alone: reading from it would end the process when another one cuts the file off.
    read = _reader_of_file(file) if readable is data else _reader_of_bytes(readable[:])
    return FileIndex(read, facts, starts, lines)


def _reader_of_file(file: BinaryIO) -> Callable[[int, int], bytes]:
    return lambda begin, end: os.pread(file.fileno(), end - begin, begin)


def _reader_of_bytes(data: bytes) -> Callable[[int, int], bytes]:
    return lambda begin, end: data[begin:end]


def _make(data: Bytes, layout: Layout | None, delimiter: bytes) -> tuple[Bytes, FileFacts, array[int], array[int]]:
    encoding = _encoding(data)
    found_layout = layout or _layout(_readable(data, encoding, "array") if encoding == "utf-16" else data)
    readable = _readable(data, encoding, found_layout)
    found = scan(readable, found_layout, delimiter)
    marked = data[: len(BOM)] == BOM
    facts = FileFacts(found_layout, encoding, marked, found.crlf, found.lf, found.fault, found.fault_line)
    return readable, facts, found.starts, found.lines


def _encoding(data: Bytes) -> Encoding:
    for _position, chunk in chunks(data):
        try:
            chunk.decode()
        except UnicodeDecodeError:
            return encoding_of(line for _at, part in chunks(data) for line in part.split(b"\n"))
    return "utf-8"


def _layout(data: Bytes) -> Layout:
    head = data[:4096].removeprefix(BOM).lstrip()
    return "array" if head[:1] == b"[" else "lines"


def _readable(data: Bytes, encoding: Encoding, layout: Layout) -> Bytes:
    """The bytes that offsets count in. GBK's second bytes may look like brackets and backslashes: arrays in it are
    turned into UTF-8 in memory, as is UTF-16."""
    if encoding == "utf-16" or (encoding == "gb18030" and layout == "array"):
        return data[:].decode(encoding, errors="replace").encode()
    return data


# --- the cache ---------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where indexes lie."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "finetui" / "rows"


def _file_of(key: dict[str, Any]) -> Path:
    name = hashlib.sha256(f"{key['path']}\0{key['layout']}".encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_folder() / f"{name}.index"


def _kept(key: dict[str, Any]) -> tuple[FileFacts, Sequence[int], Sequence[int]] | None:
    """The index that was kept for exactly this file; anything odd about it means that there is none."""
    try:
        with _file_of(key).open("rb") as file:
            if file.readline() != _MAGIC:
                return None
            header = json.loads(file.readline())
            if header["key"] != key:
                return None
            begin, rows = file.tell(), header["rows"]
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        begin += -begin % 8
        middle, end = begin + 8 * (rows + 1), begin + 8 * (rows + 1) + 4 * rows
        if len(view) != end:
            return None
        facts = header["facts"]
        facts["fault"] = Fault(**facts["fault"]) if facts["fault"] else None
        return FileFacts(**facts), view[begin:middle].cast("q"), view[middle:end].cast("I")
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _keep(key: dict[str, Any], facts: FileFacts, starts: array[int], lines: array[int]) -> None:
    """Write the index beside those of other files, or go without: a full disk or a missing right costs time only."""
    header = {"key": key, "rows": len(lines), "facts": asdict(facts)}
    head = _MAGIC + json.dumps(header).encode() + b"\n"
    path = _file_of(key)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_vanished(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            try:
                file.write(head + bytes(-len(head) % 8))
                file.write(memoryview(starts))
                file.write(memoryview(lines))
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


def _forget_vanished(folder: Path) -> None:
    """Drop the indexes of files that are no longer there, so that the folder does not grow for ever."""
    for path in folder.glob("*.index"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError), path.open("rb") as file:
            file.readline()
            if not Path(json.loads(file.readline())["key"]["path"]).exists():
                path.unlink()
