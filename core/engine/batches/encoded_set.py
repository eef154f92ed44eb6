"""Rows as tokens, many of them: in memory, or in files that are mapped and let go of.

A row's ids and its loss mask are one array: an id that bears loss is stored as its complement, which is below 0. Beside
it stand, for each row, where it begins, how many tokens bear loss, and the number of the example that it was made of
(rows that were left out have none). Reading through a million rows leaves no more than a few megabytes resident.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.engine.batches.batch import Batch, EncodedRow
from core.records import from_record, registry, to_record
from core.runs.plan import TokenReport

IDS = "ids.i32"
_ROWS = "rows.npz"
_REPORT = "report.json"
_RESIDENT_BYTES = 64 << 20
_AROUND_BYTES = 64 << 10
"""What Linux maps around a place that is read."""
_REPORTS = registry(TokenReport)


@dataclass(eq=False)
class EncodedSet:
    """Rows by their numbers, from 0."""

    ids: NDArray[np.int32]
    """[tokens]: all rows end to end, complements where there is loss."""
    bounds: NDArray[np.int64]
    """[rows + 1]: where each row begins in `ids`."""
    targets: NDArray[np.int32]
    """[rows]: tokens that bear loss."""
    examples: NDArray[np.int32]
    """[rows]: the numbers of the examples they were made of."""
    report: TokenReport
    _map: mmap.mmap | None = None
    _touched: int = field(default=0, repr=False)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> NDArray[np.int32]:
        """[rows]: tokens."""
        return np.diff(self.bounds).astype(np.int32)

    def row(self, number: int) -> EncodedRow:
        """A row of its own memory."""
        stored = self.ids[self.bounds[number] : self.bounds[number + 1]]
        trained = stored < 0
        self._let_go(stored.nbytes)
        return EncodedRow(np.where(trained, ~stored, stored), trained)

    def batch(self, numbers: list[int]) -> Batch:
        return Batch([self.row(number) for number in numbers])

    def __iter__(self) -> Iterator[EncodedRow]:
        return (self.row(number) for number in range(len(self)))

    def _let_go(self, touched: int) -> None:
        """Pages of a mapped file count as this process's memory until they are given back."""
        self._touched += max(touched, _AROUND_BYTES)
        if self._map is not None and self._touched > _RESIDENT_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


def write_set(folder: Path, encoded: EncodedSet) -> None:
    """Keep a set whose ids are in the folder already."""
    np.savez(folder / _ROWS, bounds=encoded.bounds, targets=encoded.targets, examples=encoded.examples)
    (folder / _REPORT).write_text(json.dumps(to_record(encoded.report), ensure_ascii=False), encoding="utf-8")


def read_set(folder: Path) -> EncodedSet:
    """Map the set in a folder.

    Raises:
        OSError, ValueError, LookupError, RecordError: there is none, or not a whole one.
    """
    with np.load(folder / _ROWS) as rows:
        bounds, targets, examples = rows["bounds"], rows["targets"], rows["examples"]
    report = from_record(_REPORTS, json.loads((folder / _REPORT).read_bytes()))
    mapped = None
    if (folder / IDS).stat().st_size:  # nothing cannot be mapped
        with (folder / IDS).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    ids = np.frombuffer(mapped or b"", dtype=np.int32)
    if len(ids) != bounds[-1] or not len(bounds) - 1 == len(targets) == len(examples):
        raise ValueError(folder)
    return EncodedSet(ids, bounds, targets, examples, report, mapped)
