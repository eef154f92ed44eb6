"""Reports compared from Python: opened ones, lists of them as `evaluate` gives them, and the names of commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from core.report import compare as side_by_side
from core.report.catalog import find_reports
from core.report.rows import OpenReport, open_report
from core.workspace import Workspace, find_workspace

Named: TypeAlias = "OpenReport | str | Path | Sequence[OpenReport]"


def compare(*reports: Named, metrics: Sequence[str] = (), workspace: Path | None = None) -> side_by_side.Comparison:
    """Compare reports of one test set, row against row; the first is the baseline. `.table()` shows it.

    Args:
        reports: what `evaluate` gave, or the names of runs, parts, folders and predictions files.
        metrics: names; empty: those that the reports have.
        workspace: where names are looked up; else the one that commands would use here.

    Raises:
        UsageError: fewer than two reports, or an unknown metric.
        ReportError: there is no such report, or they have no row in common.
    """
    root = find_workspace(workspace)
    opened = [report for named in reports for report in _opened(named, root)]
    return side_by_side.compare(opened, metrics)


def _opened(named: Named, workspace: Workspace) -> Iterator[OpenReport]:
    match named:
        case OpenReport():
            yield named
        case str() | Path():
            yield from map(open_report, find_reports(str(named), workspace))
        case _:
            yield from named
