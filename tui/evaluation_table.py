"""The table of reports: which rows, which columns, in which order, and what is best in each column.

What is best is told per test set, among reports of the same rows and with at least one other to be better than. An
evaluation that is under way shows what it has so far, and is never the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.i18n import _
from core.metrics.catalog import METRICS
from core.metrics.metric import Value
from core.metrics.shown import described, number_text
from core.report.catalog import USUAL, ReportSummary
from core.report.report import Report
from core.runs.state import RunState
from core.serve.remote_address import is_served
from core.untrusted import inert_line
from tui.run_watcher import Watched
from tui.widgets.run_rows import MARKS
from tui.widgets.table_rows import Cell, Column, Table, TableRow

NAMES = ("model", "adapter", "set", "n")
_SHORT = {"exact_match": _("exact")}
"""Where a title is wider than its numbers."""
_BEST = "*"
_FIXED = 3
_STATE_STYLES: dict[RunState, str] = {
    "queued": "live",
    "running": "live",
    "finished": "good",
    "stopped": "muted",
    "failed": "bad",
    "lost": "bad",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A report, or one that is to be, with what its evaluation tells now."""

    summary: ReportSummary
    report: Report
    state: RunState
    watched: Watched | None = None
    """The evaluation that it belongs to, where the watcher knows it."""
    done: int = 0
    """Answers so far, while it goes on."""
    partial: Mapping[str, float] | None = None
    """Its numbers so far."""

    @property
    def key(self) -> Path:
        """Its folder."""
        return self.summary.folder

    @property
    def name(self) -> str:
        """What one types to mean it."""
        return self.summary.name

    @property
    def running(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def scored(self) -> bool:
        return bool(self.report.values)

    @property
    def model(self) -> str:
        """What is shown of the model that answered."""
        subject = self.report.subject
        return subject.name if is_served(subject.path) else subject.model or subject.name

    @property
    def adapter(self) -> str:
        subject = self.report.subject
        if is_served(subject.path):
            return ""
        return subject.adapter_name or (subject.name if subject.model and subject.name != subject.model else "")

    def value(self, name: str) -> float | None:
        """A number, so far where it goes on; None where there is none."""
        found = self.report.values.get(name)
        if found is not None:
            return found.value
        return (self.partial or {}).get(name)


def listed(summaries: Iterable[ReportSummary], evaluations: Mapping[Path, Watched]) -> list[Listed]:
    """All rows: reports with what their runs tell now."""
    return [_listed(each, evaluations.get(each.run.path) if each.run else None) for each in summaries]


def _listed(summary: ReportSummary, watched: Watched | None) -> Listed:
    state = summary.state
    if watched is not None and not (summary.scored and summary.report.complete):
        state = watched.state
    report = summary.report
    # Before its first answer a part knows names alone; a served one has no other.
    if watched is not None and not report.subject.model and not is_served(watched.summary.model):
        report = replace(report, subject=replace(report.subject, model=watched.summary.model))
    if state in ("queued", "running"):  # gone on with: the numbers of the answers before are behind
        report = replace(report, values={}, artefacts=())
    row = Listed(summary, report, state, watched)
    answered = watched.history.answered if watched is not None and watched.history is not None else None
    if answered is None or summary.part is None or not row.running:
        return row
    if answered.part == summary.part.name:
        return replace(row, done=answered.part_done, partial=answered.metrics)
    return row


# --- order ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """By what the table is sorted; empty: by time, the newest first."""

    by: str = ""
    turned: bool = False


def ordered(rows: Sequence[Listed], order: Order, words: Sequence[str] = ()) -> list[Listed]:
    """The rows that have all the words; those that go on first."""
    found = [row for row in rows if _has(row, words)]
    if order.by in NAMES and order.by != "n":
        found.sort(key=lambda row: (_text(row, order.by).casefold(), -row.summary.time), reverse=order.turned)
    else:
        found.sort(key=lambda row: _rank(row, order))
    return sorted(found, key=lambda row: not row.running)


def _rank(row: Listed, order: Order) -> tuple[bool, float, str]:
    """The best first, or the newest; what has no number last, whichever way."""
    if order.by == "n":
        value: float | None = row.report.data.rows
    else:
        value = row.value(order.by) if order.by else row.summary.time
    if value is None or math.isnan(value):
        return True, 0.0, row.name
    lowest_first = bool(order.by) and order.by != "n" and described(order.by).better == "lower"
    return False, value if lowest_first != order.turned else -value, row.name


def _has(row: Listed, words: Sequence[str]) -> bool:
    subject, data = row.report.subject, row.report.data
    text = " ".join((row.name, subject.name, subject.model, subject.adapter, data.name, row.state)).casefold()
    return all(word in text for word in words)


def _text(row: Listed, column: str) -> str:
    return {"model": row.model, "adapter": row.adapter, "set": row.report.data.name}[column]


# --- what is best -----------------------------------------------------------------------------------------------


def best_of(rows: Sequence[Listed], metrics: Sequence[str]) -> set[tuple[Path, str]]:
    """(report, metric) of what is best of its test set."""
    groups: dict[tuple[str, str, int], list[Listed]] = {}
    for row in rows:
        if row.scored and row.report.complete:
            data = row.report.data
            groups.setdefault((data.name, data.sha256, data.rows), []).append(row)
    return {
        (row.key, name) for group in groups.values() if len(group) > 1 for name in metrics for row in _best(group, name)
    }


def _best(group: Sequence[Listed], name: str) -> list[Listed]:
    better = described(name).better
    with_value = [(row, value) for row in group if (value := row.value(name)) is not None]
    if not better or len({value for _row, value in with_value}) < 2:
        return []
    best = (max if better == "higher" else min)(value for _row, value in with_value)
    return [row for row, value in with_value if value == best]


# --- columns and cells ------------------------------------------------------------------------------------------


def heading(name: str) -> str:
    """What stands over a metric's column."""
    return _SHORT.get(name) or inert_line(described(name).title)


def metrics_in(rows: Iterable[Listed]) -> list[str]:
    """The metrics that any report has, in the order of showing."""
    there = dict.fromkeys(name for row in rows for name in (*row.report.values, *(row.partial or ())))
    return [*(name for name in METRICS if name in there), *(name for name in there if name not in METRICS)]


def table(
    rows: Sequence[Listed],
    metrics: Sequence[str],
    *,
    order: Order = Order(),
    intervals: bool = False,
    marked: Sequence[Path] = (),
) -> Table:
    """Rows as they are shown.

    Args:
        metrics: the columns of numbers.
        marked: reports that are to be compared, by folder.
    """
    best = best_of(rows, metrics)
    columns = [Column(_("model"), most=28), Column(_("adapter"), most=28), Column(_("set"), most=26)]
    columns += [Column(_("n"), right=True), *(Column(heading(name), right=True) for name in metrics)]
    names = (*NAMES, *metrics)
    if order.by in names:
        at = names.index(order.by)
        columns[at] = replace(columns[at], sorted="↑" if order.turned else "↓")
    return Table(
        tuple(columns),
        tuple(_row(row, metrics, best, intervals=intervals, marked=marked) for row in rows),
        fixed=_FIXED,
    )


def _row(
    row: Listed, metrics: Sequence[str], best: set[tuple[Path, str]], *, intervals: bool, marked: Sequence[Path]
) -> TableRow:
    data = row.report.data
    planned = data.rows * row.report.repeats
    done = row.done if row.running else row.report.answered or planned
    rows = f"{done}/{planned}" if planned and (row.running or done < planned) else str(data.rows or "")
    quiet = "" if row.scored or row.running else "muted"
    cells = [
        Cell(inert_line(row.model), quiet or "name"),
        Cell(inert_line(row.adapter) or "–", quiet),
        Cell(inert_line(data.name) or "–", quiet),
        Cell(rows, "live" if row.running else "muted"),
    ]
    cells += [_number(row, name, best=(row.key, name) in best, interval=intervals) for name in metrics]
    mark, style = (MARKS[row.state][0], _STATE_STYLES[row.state])
    if row.key in marked:
        mark, style = "■", "best"
    return TableRow(row.key, tuple(cells), mark, style)


def _number(row: Listed, name: str, *, best: bool, interval: bool) -> Cell:
    value = row.report.values.get(name)
    if value is None:
        so_far = (row.partial or {}).get(name)
        return Cell("" if so_far is None else number_text(so_far, name), "live")
    text = number_text(value.value, name)
    # The sign stands before the number: what is at the right edge stays in line.
    text = (_BEST if best else "") + text
    if interval and value.low is not None and value.high is not None:
        text += f" {interval_text(value, name)}"
    return Cell(text, "best" if best else "")


def interval_text(value: Value, name: str) -> str:
    """`[62.0, 80.0]`; nothing where no interval was computed."""
    if value.low is None or value.high is None:
        return ""
    if described(name).unit == "percent":
        return f"[{value.low:.1f}, {value.high:.1f}]"
    return f"[{number_text(value.low, name)}, {number_text(value.high, name)}]"


def results_of(run: Path, summaries: Iterable[ReportSummary]) -> list[tuple[str, str]]:
    """What was measured of what a training made: (set, its first numbers), the newest first."""
    found = []
    for summary in reversed(list(summaries)):
        report = summary.report
        if report.values and report.subject.path and run in (path := Path(report.subject.path), *path.parents):
            numbers = [f"{heading(name)} {number_text(report.values[name].value, name)}" for name in _told_of(report)]
            found.append((inert_line(report.data.name), ", ".join(numbers)))
    return found


def _told_of(report: Report) -> list[str]:
    return [name for name in USUAL if name in report.values][:2] or list(report.values)[:2]
