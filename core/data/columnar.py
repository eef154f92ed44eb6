"""Rows of Parquet and Arrow files, which store columns: read through pyarrow (the extra `data`), a piece at a time."""

from __future__ import annotations

import importlib
import json
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

from core.data.problems import DataProblem, Place, shown_path
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json

_PIECE = 1024


class _Columns:
    """Rows in batches of columns; the last piece of a batch that was turned into rows is kept."""

    def __init__(self, path: Path, sizes: list[int]) -> None:
        self._path = path
        self._ends = list(accumulate(sizes))
        self._first, self._rows = 0, list[Json]()
        self._held: tuple[int, Any] = (-1, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path,)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._path,)

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        if len(self):
            return ()
        hint = _("write rows into it, or leave it out")
        return (DataProblem(shown_path(self._path), "file", _("the file has no rows"), hint),)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int, /) -> tuple[Json, Place]:
        place = self.place(number)
        if not self._first <= number < self._first + len(self._rows):
            self._turn(number)
        return dict(self._rows[number - self._first]), place

    def place(self, number: int) -> Place:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return Place(self._path, number + 1)

    def raw(self, number: int) -> bytes:
        return json.dumps(self[number][0], ensure_ascii=False, default=str).encode(errors="backslashreplace")

    def _turn(self, number: int) -> None:
        batch = bisect_right(self._ends, number)
        begin = self._ends[batch - 1] if batch else 0
        if self._held[0] != batch:
            self._held = batch, self._read(batch)
        offset = (number - begin) // _PIECE * _PIECE
        self._rows = self._held[1].slice(offset, _PIECE).to_pylist()
        self._first = begin + offset

    def _read(self, batch: int) -> Any:
        raise NotImplementedError


class ParquetRows(_Columns):
    """A Parquet file, by its row groups."""

    def __init__(self, path: Path) -> None:
        with _told(path):
            self._file = _library("pyarrow.parquet").ParquetFile(path, memory_map=True)
            metadata = self._file.metadata
            sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        super().__init__(path, sizes)

    def _read(self, batch: int) -> Any:
        return self._file.read_row_group(batch)


class ArrowRows(_Columns):
    """An Arrow file or stream, as `datasets` writes it, by its batches."""

    def __init__(self, path: Path) -> None:
        with _told(path):
            arrow = _library("pyarrow")
            source = arrow.memory_map(str(path))
            try:
                table = _library("pyarrow.ipc").open_file(source).read_all()
            except arrow.ArrowInvalid:
                source.seek(0)
                table = _library("pyarrow.ipc").open_stream(source).read_all()
        self._batches = table.to_batches()
        super().__init__(path, [len(batch) for batch in self._batches])

    def _read(self, batch: int) -> Any:
        return self._batches[batch]


class _told:
    """What pyarrow says about a file, as an error of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, DataError) or not isinstance(error, Exception):
            return
        path = shown_path(self._path)
        raise DataError(
            _("{path} cannot be read: {reason}").format(path=path, reason=str(error).partition("\n")[0]),
            _("look whether it is whole, and of the format that its suffix says"),
        ) from error


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)  # 60 ms, for these files alone
    except ImportError as error:
        raise DataError(
            _("Parquet and Arrow files need pyarrow"), _("install it: pip install 'finetui[data]'")
        ) from error
