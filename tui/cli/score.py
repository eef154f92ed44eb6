"""`finetui score`: answers that are in a file, measured again, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.fields import Section, Shown
from core.config.load import Settings
from core.config.measuring import MeasuringOptions
from core.data.problems import shown_path
from core.errors import UsageError
from core.i18n import _
from core.metrics.catalog import all_metrics, find_metrics
from core.metrics.metric import Measuring, Metric, Scores
from core.report.catalog import find_reports
from core.report.layout import PartFiles
from core.report.measured import measure
from core.report.rows import OpenReport, open_report
from core.report.store import write_compact, write_report
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.console import Progress, note, print_json
from tui.cli.model_tables import table
from tui.cli.options import OptionsVerb
from tui.cli.score_tables import metric_record, metric_rows, score_lines, scores_record


class ScoreOptions(Section):
    """What is scored, and what becomes of the numbers."""

    title: ClassVar[str] = "Command"

    names: Annotated[tuple[str, ...], Shown("FILE")] = ()
    """Files of predictions (jsonl, json, csv, old txt), runs or folders; they need no `--names` before them."""

    per_row: Annotated[str | None, Field(min_length=1), Shown("FILE")] = None
    """Write the metrics of each row into this file too."""

    write: bool = False
    """Put the numbers in the place of the report's, where a run or a folder with a report is scored."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """The same seed draws the same intervals again."""

    processes: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes that score. 0: the cores that are free, where there is enough to do."""

    list_metrics: Annotated[bool, Field(alias="list")] = False
    """List the metrics and exit."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON, one object for each file."""


def _score(settings: Settings) -> int:
    command, options = settings[ScoreOptions], settings[MeasuringOptions]
    metrics = find_metrics(options.metrics) if options.metrics else None
    if command.list_metrics:
        _list(metrics or all_metrics(), as_json=command.json_records)
        return 0
    workspace = find_workspace()
    paths = [path for name in command.names for path in find_reports(name, workspace)]
    if not paths:
        raise UsageError(_("which answers?"), _("name a file, a folder or a run: finetui score FILE.jsonl"))
    if command.per_row is not None and len(paths) > 1:
        raise UsageError(_("--per_row is one file, and {count} are scored").format(count=len(paths)))
    measuring = Measuring(
        long_label=options.long_label,
        list_separator=options.list_separator,
        bootstrap=options.bootstrap,
        seed=command.seed,
        processes=command.processes,
    )
    for number, path in enumerate(paths):
        opened = open_report(path)
        scores = _measured(opened, metrics, measuring)
        if command.json_records:
            print_json(scores_record(opened, scores))
        else:
            _print(opened, scores, between=number > 0)
        if command.per_row is not None:
            _write_rows(Path(command.per_row).expanduser(), scores)
        if command.write:
            _replace(opened, scores)
    return 0


def _list(metrics: Sequence[Metric], *, as_json: bool) -> None:
    if as_json:
        for metric in metrics:
            print_json(metric_record(metric))
        return
    for line in table(metric_rows(metrics)):
        print(line)


def _measured(opened: OpenReport, metrics: Sequence[Metric] | None, measuring: Measuring) -> Scores:
    if not opened.predictions:
        what = _("{path} has no answers").format(path=inert_line(shown_path(opened.path)))
        raise UsageError(
            what, _("name a file with rows such as {example}").format(example='{"label": …, "predict": …}')
        )
    progress = Progress()
    step = _("scoring {rows} rows").format(rows=f"{len(opened):,}")
    try:
        return measure(opened.predictions, metrics, measuring, _percent_of(progress, step))
    finally:
        progress.clear()


def _percent_of(progress: Progress, step: str) -> Callable[[float], None]:
    return lambda fraction: progress.show(step, f"{fraction:.0%}")


def _print(opened: OpenReport, scores: Scores, *, between: bool) -> None:
    if between:
        print()
    for line in score_lines(opened, scores):
        print(line)
    for told in opened.notes:
        note(inert_line(told))


def _write_rows(path: Path, scores: Scores) -> None:
    try:
        write_compact(path, scores.rows)
    except OSError as error:
        raise _unwritten(path, error, _("name another file")) from error


def _unwritten(path: Path, error: OSError, hint: str) -> UsageError:
    told = _("cannot write {path}: {reason}")
    return UsageError(told.format(path=inert_line(shown_path(path)), reason=error.strerror), hint)


def _replace(opened: OpenReport, scores: Scores) -> None:
    files = PartFiles(opened.folder)
    if opened.live or not files.report.is_file():
        what = _("{path} has no finished report whose numbers could be replaced")
        raise UsageError(what.format(path=inert_line(shown_path(opened.path))), _("leave --write out"))
    try:
        write_report(files, opened.report, opened.predictions, scores)
    except OSError as error:
        raise _unwritten(files.report, error, _("copy the folder to where it can be written")) from error
    note(_("written: {path}").format(path=inert_line(shown_path(files.report))))


score = OptionsVerb(
    _score,
    (ScoreOptions, MeasuringOptions),
    _("A metric's name may be a Python file with a function metric(predict, label) that returns a number."),
    words="FILE…",
)
