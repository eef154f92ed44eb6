"""The test sets of an evaluation, found and looked at before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from core.config.evaluation import EvaluatedDataOptions
from core.config.stages import RowKind
from core.data.catalog import Catalog, read_catalog
from core.data.choices import holds_choices, open_choices
from core.data.entry import DatasetEntry
from core.data.examples import check_kind, data_folder, holds_comparisons, open_comparisons, open_examples
from core.errors import DataError, Problem
from core.i18n import _, plural
from core.launch.findings import Findings
from core.launch.named import checked_rows, is_large, lasting_name
from core.runs.launch_file import Caution
from core.untrusted import inert_line
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TestSet:
    """A set whose questions are asked."""

    __test__ = False  # no class of tests

    name: str
    lasting_name: str
    """A name that means the same set from any folder."""
    files: tuple[Path, ...]
    rows: int | None
    """How many are asked; None where there are too many to count beforehand."""
    choices: bool = False
    """Whether it is multiple choice."""
    compared: bool = False
    """Whether each question has two answers, which reward models tell apart."""
    cautions: tuple[Caution, ...] = ()


def find_test_sets(
    findings: Findings, names: Sequence[str], options: EvaluatedDataOptions, workspace: Workspace
) -> Iterator[TestSet]:
    """The sets of some names, as far as they can be asked; what stands against the others goes to the findings."""
    catalog = findings.tried("dataset_dir", partial(read_catalog, data_folder(options, workspace)))
    if catalog is None:
        return
    chosen = []
    for at, name in enumerate(names):
        if name in names[:at]:
            what = _("{name} is named twice").format(name=inert_line(name))
            findings.refuse([Problem("dataset", what, _("name it once; --repeats asks every question several times"))])
            continue
        kind = findings.tried("dataset", partial(_kind, name, options, workspace))
        if kind is None:
            continue
        chosen.append(kind == "choices")
        if kind == "choices":
            found = findings.tried("dataset", partial(_choices, name, catalog, options, workspace))
        else:
            found = _answers(findings, name, catalog, options, workspace, compared=kind == "comparisons")
        if found is not None:
            yield found
    _look_at_shots(findings, any(chosen), options, workspace)


def _kind(
    name: str, options: EvaluatedDataOptions, workspace: Workspace
) -> Literal["answers", "choices", "comparisons"]:
    if options.task != "auto":
        return options.task
    if holds_choices(name, options, workspace):
        return "choices"
    return "comparisons" if holds_comparisons(name, options, workspace) else "answers"


def _choices(name: str, catalog: Catalog, options: EvaluatedDataOptions, workspace: Workspace) -> TestSet:
    found = open_choices(name, options, workspace)
    lasting = name if name in catalog.entries or not found.files else str(found.files[0].absolute())
    left_out = plural("{count} row is left out", "{count} rows are left out", found.left_out)
    cautions = (Caution(f"{found.name}: {left_out}"),) if found.left_out else ()
    return TestSet(found.name, lasting, found.files, len(found.rows), choices=True, cautions=cautions)


def _answers(
    findings: Findings,
    name: str,
    catalog: Catalog,
    options: EvaluatedDataOptions,
    workspace: Workspace,
    *,
    compared: bool,
) -> TestSet | None:
    before = len(findings.problems)
    entry = findings.tried("dataset", partial(_usable, catalog, name, compared=compared))
    if entry is None:
        return None
    kind: RowKind = "pairs" if compared else "answers"
    cautions = checked_rows(findings, [entry], options, workspace, names=[name], kind=kind)
    if len(findings.problems) > before:
        return None
    rows = None
    if not is_large(entry):
        opened = findings.tried("dataset", partial(_count, name, options, workspace, compared=compared))
        rows = opened or 0
    files = () if entry.hub_name else tuple(entry.data_files())
    return TestSet(entry.name, lasting_name(entry), files, rows, compared=compared, cautions=tuple(cautions))


def _count(name: str, options: EvaluatedDataOptions, workspace: Workspace, *, compared: bool) -> int:
    if compared:
        return len(open_comparisons([name], options, workspace))
    return len(open_examples([name], options, workspace))


def _usable(catalog: Catalog, name: str, *, compared: bool) -> DatasetEntry:
    entry = catalog.entry(name)
    check_kind(entry, "pairs" if compared else "answers")
    if not entry.hub_name:
        entry.data_files()
    return entry


def _look_at_shots(findings: Findings, choices: bool, options: EvaluatedDataOptions, workspace: Workspace) -> None:
    if not options.n_shot or options.shot_dataset is None:
        return
    if not choices:
        what = _("belongs to multiple choice, and no test set is that")
        findings.refuse([Problem("n_shot", what, _("leave it out"))])
        return
    findings.tried("shot_dataset", partial(_enough_shots, options, workspace))


def lasting_shots(options: EvaluatedDataOptions, workspace: Workspace) -> str | None:
    """The name of the solved questions' set as it means the same from any folder."""
    if options.shot_dataset is None:
        return None
    catalog = read_catalog(data_folder(options, workspace))
    path = None if options.shot_dataset in catalog.entries else catalog.file_of(options.shot_dataset)
    return options.shot_dataset if path is None else str(path.absolute())


def _enough_shots(options: EvaluatedDataOptions, workspace: Workspace) -> None:
    every = options.model_copy(update={"max_samples": None})
    count = len(open_choices(str(options.shot_dataset), every, workspace).rows)
    if count < options.n_shot:
        told = _("{name} has {count} questions, fewer than n_shot")
        raise DataError(told.format(name=options.shot_dataset, count=count), _("lower n_shot"))
