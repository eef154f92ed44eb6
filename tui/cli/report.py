"""`finetui report`: the table of reports, or one report: its numbers, what they do not mean, and its worst answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, assert_never

from pydantic import Field

from core.config.fields import Section, Shown, SplitAt
from core.config.load import Settings
from core.data.dataset_file import replace_file
from core.errors import UsageError, did_you_mean
from core.i18n import _
from core.jsonl import dump_line
from core.metrics.catalog import find_metrics
from core.metrics.shown import described
from core.report.catalog import USUAL, ReportSummary, find_reports, list_reports
from core.report.export import export_reports, export_rows, report_markdown, report_record
from core.report.filters import filter_rows
from core.report.html import report_page, write_page
from core.report.order import WORST, ordered, parse_order
from core.report.rows import OpenReport, open_report, scored
from core.untrusted import inert, inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import Progress, note, print_json
from tui.cli.model_tables import table
from tui.cli.options import OptionsVerb
from tui.cli.report_tables import opened_record, report_lines, reports_rows

Format: TypeAlias = Literal["text", "json", "jsonl", "csv", "md", "html"]
_ROWS = 5


class ReportOptions(Section):
    """Which report, which of its rows, and in which form."""

    title: ClassVar[str] = "Command"

    names: Annotated[tuple[str, ...], Shown("RUN")] = ()
    """Runs, their parts, folders or files of predictions; they need no `--names` before them. None: all reports."""

    format: Format = "text"
    """How it is written: text for people, md and html as pages, csv and jsonl as rows, json as one record."""

    output: Annotated[str | None, Field(min_length=1), Shown("FILE")] = None
    """The file that it is written to. Not given: the terminal; for html: report.html beside the report."""

    filter: Annotated[str, Shown("WORDS")] = ""
    """Only rows that fit: wrong, empty, truncated, failed, reviewed, bleu-4<20, len>512, text:word, label="word"."""

    sort: Annotated[str, Shown("COLUMN")] = "worst"
    """The order of the rows: worst, a metric (its worst values first), len, row; - or + in front turns it round."""

    rows: Annotated[int | None, Field(ge=0), Shown("N")] = None
    """At most so many rows. Not given: five as text, all in files."""

    metrics: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """What the table of reports shows; of a report named, what is measured now. Empty: the usual ones, those it has."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON: the same as --format json."""


def _report(settings: Settings) -> int:
    command = settings[ReportOptions]
    workspace = find_workspace()
    if not command.names:
        _all_reports(command, workspace)
        return 0
    paths = [path for name in command.names for path in find_reports(name, workspace)]
    if len(paths) > 1 and command.output is not None:
        what = _("--output: {count} reports do not go into one file").format(count=len(paths))
        raise UsageError(what, _("name one of them: {names}").format(names=", ".join(_typed(paths, workspace))))
    for number, path in enumerate(paths):
        if number and _form(command) == "text":
            print()
        _one_report(_opened(path, command.metrics), command, workspace)
    return 0


def _form(command: ReportOptions) -> Format:
    return "json" if command.json_records else command.format


def _typed(paths: Sequence[Path], workspace: Workspace) -> list[str]:
    below = [path.relative_to(workspace.runs) if path.is_relative_to(workspace.runs) else path for path in paths]
    return [inert_line(str(path)) for path in below]


def _opened(path: Path, metrics: Sequence[str]) -> OpenReport:
    """The report; measured now where other metrics are wanted, or where it is a file that has none."""
    opened = open_report(path)
    if not metrics and (opened.live or opened.measured):
        return opened
    chosen = find_metrics(metrics) if metrics else None
    progress = Progress()
    progress.show(_("scoring"))
    try:
        return scored(opened, chosen, on_progress=lambda part: progress.show(_("scoring"), f"{part:.0%}"))
    finally:
        progress.clear()


# --- one report -----------------------------------------------------------------------------------------------------


def _one_report(opened: OpenReport, command: ReportOptions, workspace: Workspace) -> None:
    form = _form(command)
    rows = _rows(opened, command)
    if form == "html":
        chosen = rows if command.filter or command.rows is not None or command.sort != WORST else None
        path = Path(command.output) if command.output else opened.folder / "report.html"
        print(inert_line(str(write_page(path, report_page(opened, workspace, chosen)))))
    elif form == "json":
        _write_records([opened_record(opened, rows)], command.output)
    else:
        writers: dict[str, Callable[[], str]] = {
            "csv": lambda: export_rows(opened, rows, "csv"),
            "jsonl": lambda: export_rows(opened, rows, "jsonl"),
            "md": lambda: report_markdown(opened, rows),
            "text": lambda: _text(report_lines(opened, rows)),
        }
        _write(writers[form](), command.output)


def _rows(opened: OpenReport, command: ReportOptions) -> list[int]:
    rows = ordered(opened, filter_rows(opened, command.filter), parse_order(command.sort))
    default = _ROWS if _form(command) in ("text", "json") else None
    return rows[: default if command.rows is None else command.rows]


# --- all reports ----------------------------------------------------------------------------------------------------


def _all_reports(command: ReportOptions, workspace: Workspace) -> None:
    reports = _chosen(list_reports(workspace), command)
    metrics = command.metrics or tuple(name for name in USUAL if any(name in item.report.values for item in reports))
    match _form(command):
        case "json":
            _write_records([report_record(item) for item in reports], command.output)
        case "html":
            what = _("--format html: a page is made of one report")
            raise UsageError(what, _("name it: finetui report RUN --format html"))
        case "text" if not reports:
            _write(_("no reports; make one with: finetui eval") + "\n", command.output)
        case "text":
            _write(_text(table(reports_rows(reports, metrics))), command.output)
        case "csv":
            _write(export_reports(reports, "csv", metrics), command.output)
        case "jsonl":
            _write(export_reports(reports, "jsonl", metrics), command.output)
        case "md":
            _write(export_reports(reports, "markdown", metrics), command.output)
        case _ as never:
            assert_never(never)


def _chosen(reports: list[ReportSummary], command: ReportOptions) -> list[ReportSummary]:
    """The newest last; by a metric the best first."""
    words = command.filter.casefold().split()
    reports = [item for item in reports if all(word in _searched(item) for word in words)]
    order = parse_order(command.sort)
    if order.column != WORST:
        there = dict.fromkeys(name for item in reports for name in item.report.values)
        if order.column not in there:
            hint = did_you_mean(order.column, there) or _("there are: {names}").format(names=", ".join(there))
            raise UsageError(_("--sort: no report has {name!r}").format(name=inert_line(order.column)), hint)
        falling = order.descending if order.descending is not None else described(order.column).better != "lower"
        with_it = [item for item in reports if order.column in item.report.values]
        with_it.sort(key=lambda item: item.report.values[order.column].value, reverse=falling)
        reports = with_it + [item for item in reports if order.column not in item.report.values]
        return reports[: command.rows]
    return reports if command.rows is None else reports[len(reports) - min(command.rows, len(reports)) :]


def _searched(item: ReportSummary) -> str:
    subject = item.report.subject
    return " ".join((item.name, subject.name, subject.model, subject.adapter, item.report.data.name)).casefold()


# --- where it goes --------------------------------------------------------------------------------------------------


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _write(text: str, output: str | None) -> None:
    if output is None:
        # Files and pipes get every character; a terminal would obey some of them.
        sys.stdout.write(inert(text.removeprefix("\ufeff")) if sys.stdout.isatty() else text)
    else:
        write_output(Path(output), text)


def _write_records(records: Sequence[Mapping[str, Any]], output: str | None) -> None:
    if output is None:
        for record in records:
            print_json(record)
    else:
        write_output(Path(output), b"".join(map(dump_line, map(dict, records))).decode())


def write_output(path: Path, text: str) -> None:
    """Write what a command was asked to write, whole, and say so.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        replace_file(path, text.encode(errors="replace"))
    except OSError as error:
        what = _("--output: {path} cannot be written: {reason}")
        raise UsageError(what.format(path=inert_line(str(path)), reason=error.strerror)) from error
    note(_("written: {path}").format(path=inert_line(str(path))))


report_verb = OptionsVerb(
    _report,
    (ReportOptions,),
    _("Without a run, the table of all reports; --filter then takes words of their names."),
    words="[RUN…]",
)
