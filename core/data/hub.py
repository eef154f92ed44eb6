"""Rows of a set that a hub names, through `datasets` (the extra `data`), which fetches it once and keeps it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from core.data.entry import DatasetEntry
from core.data.problems import DataProblem, Place
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json


class HubRows:
    """A set of `datasets`; its rows have numbers instead of lines."""

    def __init__(self, entry: DatasetEntry, rows: Any) -> None:
        self._entry, self._rows = entry, rows

    def __reduce__(self) -> tuple[Any, ...]:
        return open_hub_rows, (self._entry,)

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        return ()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int, /) -> tuple[Json, Place]:
        place = self.place(number)
        return dict(self._rows[number]), place

    def place(self, number: int) -> Place:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return Place(Path(self._entry.hub_name), number + 1)

    def raw(self, number: int) -> bytes:
        return json.dumps(self[number][0], ensure_ascii=False, default=str).encode(errors="backslashreplace")


def open_hub_rows(entry: DatasetEntry) -> HubRows:
    """Fetch a set, or take it from the hub's cache.

    Raises:
        DataError: `datasets` is not installed, or says why it cannot give the set.
    """
    try:
        datasets = importlib.import_module("datasets")  # over a second: for these sets alone
    except ImportError as error:
        raise DataError(
            _("{name}: sets of a hub need the package datasets").format(name=entry.name),
            _("install it: pip install 'finetui[data]'"),
        ) from error
    try:
        rows = datasets.load_dataset(
            entry.hub_name, name=entry.subset, data_dir=entry.folder, split=entry.split or "train"
        )
    except Exception as error:  # of many kinds: networks, names, formats, licences
        raise DataError(
            _("{name}: {hub} cannot be fetched: {reason}").format(
                name=entry.name, hub=entry.hub_name, reason=str(error).partition("\n")[0]
            ),
            _("look at the name, the subset and the network; or fetch its files and enter those"),
        ) from error
    return HubRows(entry, rows)
