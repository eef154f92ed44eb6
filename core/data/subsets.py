"""A data set divided into one to train on and one to test with: written as files of its own format, and entered.

Rows keep their bytes and stay in the order of their file. Rows that cannot be trained on are left out.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from core.data.catalog import Catalog, read_catalog
from core.data.dataset_file import INFO, check_name, locked, read_info, replace_file
from core.data.dataset_file import register as enter
from core.data.entry import DatasetEntry
from core.data.example import Comparison, Prompt
from core.data.examples import AllRows, RowSet, data_folder, open_held
from core.data.problems import shown_path
from core.data.rows import IndexedRows, Rows, open_rows
from core.data.split import split_rows
from core.data.statistics import ClassesBy, class_of_each
from core.errors import DataError
from core.i18n import _
from core.workspace import Workspace

_OWN_NUMBER = re.compile(r"_(train|test)(_\d+)?$")


@dataclass(frozen=True, slots=True)
class Subset:
    """A set that was made."""

    entry: DatasetEntry
    rows: int
    classes: int
    """How many classes its rows are of; 0 when classes did not matter."""
    source: str = ""
    """The set that it was taken from."""


def split_dataset(
    name: str,
    workspace: Workspace,
    *,
    train: int | None,
    test: int,
    stratify: bool = False,
    seed: int = 42,
    stem: str = "",
    dataset_dir: str = "data",
) -> tuple[Subset, ...]:
    """Make `STEM_train_400` and `STEM_test_100` out of a set.

    Args:
        name: a set of dataset_info.json, or a file; or what the names of several parts begin with, of which the
            largest is taken: `telecom` where there are `telecom_train_5000` and `telecom_train_400`.
        train: rows to train on; None takes all that the test leaves.
        test: rows to test with; 0 makes no test set.
        stratify: keep the share of every class; answers, or their beginnings, are the classes.
        stem: what the names begin with; not given, the set's name without a `_train_5000` of its own, with a number
            behind it where those names are taken.

    Raises:
        DataError: the set has too few rows, no classes, or one of the names is taken that `stem` asks for.
        WorkspaceError: a file cannot be written.
    """
    options = AllRows(dataset_dir=dataset_dir, on_bad_rows="skip")
    folder = data_folder(options, workspace)
    catalog = read_catalog(folder)
    name = _largest_part(name, catalog)
    entry = catalog.entry(name)
    examples: RowSet[Any] = open_held(name, options, workspace)
    by, classes = _classes(examples, stratify, name)
    taken = split_rows(classes, train, test, stratify=stratify, seed=seed)
    sizes = {"train": taken.train, "test": taken.test}
    parts = [(f"_{kind}_{len(rows)}", rows) for kind, rows in sizes.items() if rows]
    suffix = _suffix(examples.parts[0].rows)
    with locked(folder):
        stem = stem or _free_stem(folder, part_stem(entry.name), [ending for ending, _rows in parts], suffix)
        wanted = [(stem + ending, rows) for ending, rows in parts]
        for new, _rows in wanted:
            _check_free(folder, new, suffix)
        made = [_write(folder, new, examples, rows) for new, rows in wanted]
    return tuple(
        Subset(made_entry, len(rows), len({classes[row] for row in rows}) if by != "none" else 0, entry.name)
        for made_entry, (_new, rows) in zip(made, wanted, strict=True)
    )


def part_stem(name: str) -> str:
    """What the names of a set's parts begin with: `telecom` for `telecom_train_5000`."""
    return _OWN_NUMBER.sub("", name)


def _largest_part(name: str, catalog: Catalog) -> str:
    """The set that is meant by what the names of its parts begin with; any other name as it is."""
    parts = [entry for entry in catalog.entries.values() if part_stem(entry.name) == name and entry.file_name]
    if name in catalog.entries or name in catalog.problems or not parts or catalog.file_of(name) is not None:
        return name
    return max(parts, key=_rows_of).name


def _rows_of(entry: DatasetEntry) -> int:
    try:
        return len(open_rows(entry))
    except DataError:
        return -1


def _free_stem(folder: Path, stem: str, endings: Sequence[str], suffix: str) -> str:
    """The stem, or the first with a number behind it with which all names are free."""
    entered = read_info(folder)

    def is_free(stem: str) -> bool:
        names = [stem + ending for ending in endings]
        return not any(name in entered or (folder / f"{name}{suffix}").exists() for name in names)

    return next(filter(is_free, chain([stem], (f"{stem}_{number}" for number in count(2)))))


def _classes(examples: RowSet[Any], stratify: bool, name: str) -> tuple[ClassesBy, Sequence[str]]:
    if not stratify:
        return "none", [""] * len(examples)
    by, classes = class_of_each(_answer(examples[number]) for number in range(len(examples)))
    if by == "none":
        raise DataError(
            _("{name}: its answers do not repeat, so there are no classes whose shares could be kept").format(
                name=name
            ),
            _("leave --stratify out"),
        )
    return by, classes


def _answer(example: Any) -> str:
    if isinstance(example, Prompt):
        return ""
    return str(example.chosen if isinstance(example, Comparison) else example.messages[-1].content)


def _check_free(folder: Path, name: str, suffix: str) -> None:
    check_name(name)
    path = folder / f"{name}{suffix}"
    for where, is_taken in ((folder / INFO, name in read_info(folder)), (path, path.exists())):
        if is_taken:
            raise DataError(
                _("{path}: there is a {name!r} already").format(path=shown_path(where), name=name),
                _("give other names with --name, or remove that one"),
            )


def _write(folder: Path, name: str, examples: RowSet[Any], numbers: Sequence[int]) -> DatasetEntry:
    part = examples.parts[0]
    path = folder / f"{name}{_suffix(part.rows)}"
    replace_file(path, _content(part.rows, [part.numbers[number] for number in numbers]))
    entry = dataclasses.replace(
        part.entry,
        name=name,
        file_name=path.name,
        hub_name="",
        subset=None,
        split=None,
        folder=None,
        num_samples=None,
        file_sha1=None,
    )
    enter(folder, name, entry.as_json())
    return dataclasses.replace(entry, registered=True, columns_given=True)


def _suffix(rows: Rows) -> str:
    """The source's own, where its rows are bytes that can be copied."""
    return rows.files[0].suffix.lower() if isinstance(rows, IndexedRows) else ".jsonl"


def _content(rows: Rows, numbers: Sequence[int]) -> bytes:
    if not isinstance(rows, IndexedRows):
        texts = (json.dumps(rows[number][0], ensure_ascii=False, default=str) for number in numbers)
        return b"".join(text.encode(errors="backslashreplace") + b"\n" for text in texts)
    raw = [rows.raw(number) for number in numbers]
    if rows.facts.layout == "array":
        return b"[\n  " + b",\n  ".join(raw) + b"\n]\n"
    return b"".join(line + b"\n" for line in (*rows.header, *raw))
