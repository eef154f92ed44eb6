"""`finetui compare`: two or more reports of one test set, row against row. The first is the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Section, Shown, SplitAt
from core.config.load import Settings
from core.errors import UsageError
from core.i18n import _, plural
from core.metrics.metric import Measuring
from core.report.catalog import find_reports
from core.report.compare import Comparison, compare
from core.report.compare_export import export_comparison
from core.report.rows import open_report
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.compare_tables import comparison_lines, comparison_record, row_lines, row_record
from tui.cli.console import Progress, note, print_json
from tui.cli.options import OptionsVerb
from tui.cli.report import write_output

_FORMS = {".html": "html", ".md": "markdown", ".csv": "csv", ".jsonl": "jsonl"}


class CompareOptions(Section):
    """What is compared, and how."""

    title: ClassVar[str] = "Command"

    names: Annotated[tuple[str, ...], Shown("RUN")] = ()
    """Runs, their parts, folders or files of predictions, the baseline first; they need no `--names` before them."""

    metrics: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """Metrics by name (`finetui score --list`), or Python files. Empty: those that the reports have."""

    by: Annotated[str, Field(min_length=1), Shown("NAME")] = "exact_match"
    """The metric by which a row is improved or regressed."""

    rows: Literal["none", "improved", "regressed", "changed", "same", "all"] = "none"
    """Show these rows too, with what each model answered."""

    against: Annotated[int, Field(ge=1), Shown("N")] = 1
    """Of several reports, the one that rows are shown for: 1 is the first after the baseline."""

    output: Annotated[str | None, Field(min_length=1), Shown("FILE")] = None
    """Write the comparison into a file too; its ending says how: html and md are pages, csv and jsonl the rows."""

    bootstrap: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """Resamples for the 95 % interval of each difference. 0: no intervals."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """The same seed draws the same intervals again."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON: the comparison, and with --rows a line for each row."""


def _compare(settings: Settings) -> int:
    command = settings[CompareOptions]
    form = _form(command.output)
    compared = _compared(command)
    if command.against >= len(compared.reports):
        there = plural("there is {count} report", "there are {count} reports", len(compared.reports) - 1)
        what = _("--against {number}: {there} after the baseline")
        raise UsageError(what.format(number=command.against, there=there))
    by = compared.told_by(command.by)
    changes = compared.changes(command.against, by)
    shown = [at for at, change in enumerate(changes) if command.rows in (change, "all")]
    if command.output is not None:
        rows = None if command.rows == "none" else shown
        write_output(Path(command.output), export_comparison(compared, form, rows, by))
    if command.json_records:
        print_json(comparison_record(compared, by))
        for at in shown:
            print_json(row_record(compared, at, changes[at]))
        return 0
    for line in comparison_lines(compared, by):
        print(line)
    for at in shown:
        print()
        for line in row_lines(compared, at, changes[at]):
            print(line)
    for warning in compared.warnings:
        note(_("warning: {text}").format(text=inert_line(warning)))
    return 0


def _form(output: str | None) -> str:
    """In which form a file is written, by its ending."""
    ending = Path(output).suffix.lower() if output is not None else ".md"
    if ending not in _FORMS:
        what = _("--output: no comparison is written as {ending!r}").format(ending=inert_line(ending))
        raise UsageError(what, _("the endings are {names}").format(names=", ".join(_FORMS)))
    return _FORMS[ending]


def _compared(command: CompareOptions) -> Comparison:
    workspace = find_workspace()
    paths = [path for name in command.names for path in find_reports(name, workspace)]
    reports = [open_report(path) for path in paths]
    measuring = Measuring(bootstrap=command.bootstrap, seed=command.seed)
    progress = Progress()
    progress.show(_("comparing"))
    try:
        compared = compare(reports, command.metrics, measuring)
        if command.by in compared.columns:
            return compared
        return compare(reports, (*(command.metrics or compared.values), command.by), measuring)
    finally:
        progress.clear()


compare_verb = OptionsVerb(
    _compare,
    (CompareOptions,),
    _("Every number is computed on the rows that all reports have; differences have paired intervals."),
    words="RUN RUN…",
)
