"""The rows of a data set, each by its number: nothing is read but what is asked for.

A row is a JSON object with its place in a file. Text files are read through an index of offsets, columns of Parquet and
Arrow files in pieces, a folder's files one after another. A row that cannot be read raises when it is asked for, and no
earlier, so that one bad line never hides the others.
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from core.data.cells import kind_of
from core.data.columnar import ArrowRows, ParquetRows
from core.data.entry import DATA_SUFFIXES, DatasetEntry
from core.data.hub import open_hub_rows
from core.data.index import FileFacts, FileIndex, open_index
from core.data.problems import DataProblem, Fault, Place, RowProblem, shown_path
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json


class Rows(Protocol):
    """Rows by their numbers, from 0."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that they stand in; none for a set from a hub."""

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """What is wrong or odd about the files as such."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> tuple[Json, Place]:
        """A row and its place.

        Raises:
            RowProblem: it is no JSON object, or its text cannot be decoded.
            IndexError: there is no such row.
        """

    def place(self, number: int) -> Place:
        """Where a row stands, whether it can be read or not."""

    def raw(self, number: int) -> bytes:
        """A row's own bytes, without what separates it from the next; as one line of JSON where a file has none."""


def open_rows(entry: DatasetEntry) -> Rows:
    """The rows of a data set.

    Raises:
        DataError: there is no such file, it cannot be read, or what reads it is not installed.
    """
    if entry.hub_name:
        return open_hub_rows(entry)
    files = entry.data_files()
    rows = [open_file(path) for path in files]
    return rows[0] if len(rows) == 1 else JoinedRows(rows)


def open_file(path: Path) -> Rows:
    """The rows of one file, by its suffix."""
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        hint = _("finetui reads {names}").format(names=", ".join(DATA_SUFFIXES))
        raise DataError(_("{path}: the format is not known").format(path=shown_path(path)), hint)
    return opener(path)


class IndexedRows:
    """The rows of a text file."""

    def __init__(self, path: Path, index: FileIndex, parse: Callable[[bytes], Json], first: int = 0) -> None:
        self._path, self._index, self._parse = path, index, parse
        self.first = first
        """The record that is row 0: a header may stand before it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open_file, (self._path,)  # a map of memory does not travel to other processes; the file is there too

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._path,)

    @property
    def facts(self) -> FileFacts:
        """Encoding and newlines."""
        return self._index.facts

    @property
    def index(self) -> FileIndex:
        """For a search in the bytes."""
        return self._index

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        return tuple(_file_problems(self._path, self._index))

    def __len__(self) -> int:
        return max(len(self._index.lines) - self.first, 0)

    def __getitem__(self, number: int, /) -> tuple[Json, Place]:
        place = self.place(number)
        try:
            return self._parse(self._bytes(number)), place
        except json.JSONDecodeError as error:
            what = _("broken JSON: {problem}, at character {at}").format(problem=error.msg, at=error.colno)
            there = Place(self._path, place.line + error.lineno - 1, place.row)  # a row may have many lines
            raise RowProblem(there, Fault("broken_json", what, _("mend the line or take it out"))) from None
        except UnicodeDecodeError as error:
            what = _("byte {value:#04x} at position {at} is no {encoding}").format(
                value=error.object[error.start], at=error.start + 1, encoding=self.facts.encoding.upper()
            )
            raise RowProblem(place, Fault("broken_text", what, _("write the line again, in UTF-8"))) from None
        except RecursionError:
            fault = Fault("broken_json", _("JSON that is nested too deeply"), _("take the row out"))
            raise RowProblem(place, fault) from None
        except _Unreadable as error:
            raise RowProblem(place, error.args[0]) from None

    def place(self, number: int) -> Place:
        if not 0 <= number < len(self):
            raise IndexError(number)
        lines, at = self._index.lines, number + self.first
        is_alone = lines[at] not in (*lines[max(at - 1, 0) : at], *lines[at + 1 : at + 2])
        return Place(self._path, lines[at], 0 if is_alone else number + 1)

    def raw(self, number: int) -> bytes:
        self.place(number)
        return self._own(self._bytes(number))

    @property
    def header(self) -> tuple[bytes, ...]:
        """What stands before the rows, and has to stand before a part of them too."""
        starts = self._index.starts
        return tuple(
            self._own(self._index.read(starts[at], starts[at + 1])) for at in range(min(self.first, len(starts) - 1))
        )

    def _own(self, data: bytes) -> bytes:
        """Bytes without what separates a row from the next: in CSV a last comma belongs to it."""
        return data.rstrip(b" \t\r\n," if self.facts.layout == "array" else b"\r\n")

    def _bytes(self, number: int) -> bytes:
        begin, end = self._index.starts[number + self.first], self._index.starts[number + self.first + 1]
        data = self._index.read(begin, end)
        if len(data) < end - begin:
            fault = Fault("file", _("the file has been changed since it was opened"), _("open it again"))
            raise RowProblem(self.place(number), fault)
        return data


class JoinedRows:
    """The rows of several files, one after another."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = tuple(parts)
        self._ends = list(accumulate(map(len, self.parts)))

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for part in self.parts for file in part.files)

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        return tuple(problem for part in self.parts for problem in part.problems)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int, /) -> tuple[Json, Place]:
        part, inner = self._find(number)
        return part[inner]

    def place(self, number: int) -> Place:
        part, inner = self._find(number)
        return part.place(inner)

    def raw(self, number: int) -> bytes:
        part, inner = self._find(number)
        return part.raw(inner)

    def _find(self, number: int) -> tuple[Rows, int]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        at = bisect_right(self._ends, number)
        return self.parts[at], number - (self._ends[at - 1] if at else 0)


# --- formats of files --------------------------------------------------------------------------------------------


csv.field_size_limit(1 << 30)  # of one cell; the module's own limit refuses long documents


class _Unreadable(Exception):
    """A row that can be decoded is none: its argument says why."""


_decoded = json.JSONDecoder().decode  # json.loads without its questions, which cost as much as a short row


def _open_json(path: Path) -> Rows:
    index = open_index(path)
    is_array = index.facts.layout == "array"
    encoding = "utf-8" if is_array else _line_encoding(index)
    between = b" \t\r\n," if is_array else b" \t\r\n"

    def parse(data: bytes) -> Json:
        row = _decoded(data.rstrip(between).decode(encoding))
        if not isinstance(row, dict):
            what = _("expected an object with columns, not {kind}").format(kind=kind_of(row))
            raise _Unreadable(Fault("wrong_type", what, _('write {"instruction": …, "output": …}')))
        return row

    return IndexedRows(path, index, parse)


def open_table(path: Path, header: Sequence[str]) -> Rows:
    """The rows of a CSV or TSV file that has no line of names: these are its columns."""
    return _open_csv(path, header)


def _open_csv(path: Path, given: Sequence[str] = ()) -> Rows:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    index = open_index(path, "csv", delimiter.encode())
    encoding = _line_encoding(index)
    data = index.read(index.starts[0], index.starts[1]) if len(index.lines) else b""
    try:
        header = given or _cells(data.decode(encoding, errors="replace"), delimiter)
    except _Unreadable as error:
        raise DataError(f"{shown_path(path)}:1: {error.args[0].what}", error.args[0].hint) from None

    def parse(data: bytes) -> Json:
        cells = _cells(data.decode(encoding), delimiter)
        if len(cells) != len(header):
            what = _("{count} cells where the header has {expected}").format(count=len(cells), expected=len(header))
            raise _Unreadable(Fault("broken_cells", what, _("put cells with commas or newlines in quotes")))
        return dict(zip(header, cells, strict=True))

    return IndexedRows(path, index, parse, first=0 if given else 1)


def _cells(record: str, delimiter: str) -> list[str]:
    """The cells of the first record in a text; blank lines may follow it."""
    try:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter), [])
    except csv.Error as error:
        what = _("broken cells: {problem}").format(problem=error)
        raise _Unreadable(Fault("broken_cells", what, _("mend the record or take it out"))) from None


def _open_text(path: Path) -> Rows:
    index = open_index(path, "text")
    encoding = _line_encoding(index)
    return IndexedRows(path, index, lambda data: {"text": data.decode(encoding).rstrip("\r\n")})


_OPENERS: Mapping[str, Callable[[Path], Rows]] = {
    ".json": _open_json,
    ".jsonl": _open_json,
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".txt": _open_text,
    ".parquet": ParquetRows,
    ".arrow": ArrowRows,
}


def _line_encoding(index: FileIndex) -> str:
    return "gb18030" if index.facts.encoding == "gb18030" else "utf-8"


def _file_problems(path: Path, index: FileIndex) -> list[DataProblem]:
    facts, where = index.facts, shown_path(path)
    found = []
    if facts.encoding != "utf-8":
        name = {"gb18030": "GBK", "utf-16": "UTF-16"}[facts.encoding]
        source = facts.encoding.upper()
        what = _("the file is in {name}, not in UTF-8").format(name=name)
        hint = _("it is read all the same; other programs need: iconv -f {source} -t UTF-8").format(source=source)
        found.append(DataProblem(where, "encoding", what, hint))
    if facts.marked:
        hint = _("it is skipped here; save the file without it for other programs")
        found.append(DataProblem(f"{where}:1", "encoding", _("a byte order mark stands before the text"), hint))
    if facts.crlf and facts.lf:
        what = _("lines end in two ways: {crlf} as in Windows (CRLF), {lf} in a newline alone").format(
            crlf=f"{facts.crlf:,}", lf=f"{facts.lf:,}"
        )
        found.append(DataProblem(where, "newlines", what, _("they are read alike; convert the file with dos2unix")))
    if facts.fault:
        fault = facts.fault
        found.append(DataProblem(f"{where}:{facts.fault_line}", "file", fault.what, fault.hint))
    elif not len(index.lines):
        found.append(DataProblem(where, "file", _("the file has no rows"), _("write rows into it, or leave it out")))
    return found
