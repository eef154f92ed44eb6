"""What the names of models and data sets mean, looked up before anything is loaded, and whether it can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from core.config.stages import RowKind
from core.data.catalog import read_catalog
from core.data.checks import check
from core.data.entry import DatasetEntry
from core.data.examples import RowChoices, data_folder
from core.errors import FinetuiError
from core.i18n import _, plural
from core.launch.findings import Findings
from core.models.adapters import check_adapter
from core.models.catalog import resolve_model
from core.models.info import AdapterInfo, ModelInfo
from core.runs.launch_file import Caution
from core.untrusted import inert_line
from core.workspace import Workspace

_MOST_CHECKED = 16 << 20
"""Bytes of data that are checked before the start, in about a second."""


def usable_model(name: str, workspace: Workspace) -> ModelInfo:
    """The model of a name.

    Raises:
        FinetuiError: there is none, or it cannot be loaded.
    """
    return without_problems(resolve_model(name, workspace))


def without_problems(model: ModelInfo) -> ModelInfo:
    """Raises:
    FinetuiError: the model cannot be loaded; the first reason.
    """
    if model.problems:
        raise FinetuiError(_("{name}: {problem}").format(name=inert_line(model.name), problem=model.problems[0]))
    return model


def mismatches(adapters: Sequence[AdapterInfo], model: ModelInfo) -> Iterator[Caution]:
    """What should be said of adapters that fit by their shapes alone."""
    for adapter in adapters:
        yield from (Caution(told) for told in check_adapter(adapter, model))


def find_sets(
    findings: Findings,
    option: str,
    names: Sequence[str],
    choices: RowChoices,
    workspace: Workspace,
    usable: Callable[[DatasetEntry], None],
) -> Iterator[DatasetEntry]:
    """The sets of some names, as far as they are there.

    Args:
        usable: raises `DataError` for a set that cannot be used for what is to be done.
    """
    catalog = findings.tried("dataset_dir", partial(read_catalog, data_folder(choices, workspace)))
    for name in names:
        entry = findings.tried(option, partial(catalog.entry, name)) if catalog is not None else None
        if entry is not None:
            findings.tried(option, partial(usable, entry))
            yield entry


def checked_rows(
    findings: Findings,
    sets: Sequence[DatasetEntry],
    choices: RowChoices,
    workspace: Workspace,
    *,
    names: Sequence[str],
    against: Sequence[str] = (),
    kind: RowKind = "answers",
) -> list[Caution]:
    """Look at every row, where there are not so many that one would wait; the run itself looks at all in any case.

    Args:
        kind: what rows have to hold.
    """
    if sum(map(_size, sets)) > _MOST_CHECKED:
        return []
    report = findings.tried("dataset", lambda: check(names, choices, workspace, against=against, kind=kind))
    if report is None:
        return []
    findings.tried("dataset", partial(report.raise_if_it_stops, choices.on_bad_rows))
    if not report.total:
        return []
    told = plural("the data has {count} thing to look at", "the data has {count} things to look at", report.total)
    if report.bad_rows:
        left_out = plural("{count} row is left out", "{count} rows are left out", report.bad_rows)
        told = f"{told}; {left_out}"
    return [Caution(told, _("see: finetui data check {names}").format(names=inert_line(" ".join(names))))]


def lasting_name(entry: DatasetEntry) -> str:
    """A name that means the same set from any folder."""
    return entry.name if entry.registered or entry.hub_name else str(entry.path)


def is_large(entry: DatasetEntry) -> bool:
    """Whether one would wait for all its rows."""
    return _size(entry) > _MOST_CHECKED


def _size(entry: DatasetEntry) -> int:
    """In bytes; a set of a hub counts as large."""
    return sum(path.stat().st_size for path in entry.data_files()) if not entry.hub_name else _MOST_CHECKED + 1
