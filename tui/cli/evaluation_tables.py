"""What an evaluation found out, as a table for each test set: a line for each metric, a column for each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.errors import ReportError
from core.i18n import _, plural
from core.metrics.metric import Value
from core.metrics.shown import interval_text, number_text
from core.report.report import Report
from core.report.store import read_parts, read_report
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from tui.cli.model_tables import table

Row = tuple[str, ...]


def result_lines(run: RunDirectory) -> Iterator[str]:
    """The tables of a run's reports, as far as there are any, and what their numbers do not mean."""
    reports = list(_reports(run))
    for name in dict.fromkeys(report.data.name for report in reports):
        of_set = [report for report in reports if report.data.name == name]
        yield inert_line(_head(of_set))
        yield from table(_rows(of_set))
        yield from _remarks(of_set)
        yield ""


def _reports(run: RunDirectory) -> Iterator[Report]:
    for part in read_parts(run.path):
        try:
            yield read_report(run.path / part.folder)
        except ReportError:
            continue  # not written yet


def _head(reports: Sequence[Report]) -> str:
    data = reports[0].data
    rows = plural("{count} row", "{count} rows", data.rows)
    left_out = plural("{count} is left out", "{count} are left out", data.left_out) if data.left_out else ""
    return f"{data.name}: " + ", ".join(filter(None, (rows, left_out)))


def _rows(reports: Sequence[Report]) -> Iterator[Row]:
    yield _("METRIC"), *(inert_line(report.subject.name) for report in reports)
    for name in dict.fromkeys(name for report in reports for name in report.values):
        yield inert_line(name), *(_cell(report.values, name) for report in reports)
    for label, counts in (
        (_("answers"), [report.answered for report in reports]),
        (_("failed"), [report.failed for report in reports]),
        (_("cut"), [report.truncated for report in reports]),
    ):
        if label == _("answers") or any(counts):
            yield label, *(f"{count:,}" for count in counts)


def _cell(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    interval = interval_text(value, name)
    return f"{number_text(value.value, name)} ({interval})" if interval else number_text(value.value, name)


def _remarks(reports: Sequence[Report]) -> Iterator[str]:
    """What every number of a set has in common is said once."""
    told: dict[str, list[str]] = {}
    for report in reports:
        for artefact in report.artefacts:
            text = ": ".join(filter(None, (artefact.metric, artefact.message)))
            told.setdefault(text, []).append(report.subject.name)
        if report.data.seen_in_training:
            seen = _("{count} of its questions stand in the data that it was trained on")
            told.setdefault(seen.format(count=report.data.seen_in_training), []).append(report.subject.name)
        if not report.complete:
            told.setdefault(_("not all rows are answered"), []).append(report.subject.name)
    for text, names in told.items():
        whose = "" if len(names) == len(reports) else f"{', '.join(names)}: "
        yield inert_line(f"! {whose}{text}")
