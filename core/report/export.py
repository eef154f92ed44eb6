"""What is shown, as files for others: rows of a report and the table of reports, as CSV, JSON lines and Markdown.

Spreadsheets run cells that begin with = + - @ as formulas: texts that do so get an apostrophe in front, which they
show as nothing. A mark before the text of a CSV file tells them that it is UTF-8. JSON lines keep every character.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from core.errors import UsageError, did_you_mean
from core.i18n import _, plural
from core.jsonl import Json, dump_line
from core.metrics.shown import interval_text, number_text
from core.report.catalog import ReportSummary
from core.report.figures import heading, score_text, telling
from core.report.files import prediction_record
from core.report.questions import question_text
from core.report.report import Report
from core.report.rows import EXACT, OpenReport
from core.untrusted import inert

_W = TypeVar("_W")

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_MARKDOWN = re.compile(r"([\\`*\[\]|~#]|(?<!\w)_|_(?!\w))")
_ROW_KEYS = ("id", "row", "repeat", "prompt", "label", "predict", "finish_reason", "tokens", "error")


def export_rows(opened: OpenReport, rows: Sequence[int], format: str) -> str:
    """Rows of a report in the order given, as the text of a file.

    Raises:
        UsageError: there is no such format.
    """
    writers: Mapping[str, Callable[[OpenReport, Sequence[int]], str]] = {
        "csv": _rows_csv,
        "jsonl": _rows_jsonl,
        "markdown": _rows_markdown,
    }
    return _writer(writers, format)(opened, rows)


def export_reports(reports: Sequence[ReportSummary], format: str, metrics: Sequence[str] = ()) -> str:
    """The table of reports as the text of a file.

    Args:
        metrics: the columns; empty: every metric that one of them has.
    """
    columns = list(metrics) or list(dict.fromkeys(name for item in reports for name in item.report.values))
    writers: Mapping[str, Callable[[Sequence[ReportSummary], Sequence[str]], str]] = {
        "csv": _reports_csv,
        "jsonl": _reports_jsonl,
        "markdown": _reports_markdown,
    }
    return _writer(writers, format)(reports, columns)


def row_record(opened: OpenReport, row: int) -> Json:
    """Everything that is known of a row."""
    prediction = opened.predictions[row]
    review = opened.review.of(prediction)
    record = prediction_record(prediction)
    record["scores"] = {name: column[row] for name, column in opened.scores.items() if column[row] is not None}
    if review.verdict:
        record["verdict"] = review.verdict
    if review.note:
        record["note"] = review.note
    return record


def report_record(item: ReportSummary) -> Json:
    """A report's line as a record: who, what, how many, and every number with its interval."""
    report = item.report
    return {
        "report": item.name,
        "path": str(item.folder),
        "state": item.state,
        "model": report.subject.model or report.subject.name,
        "adapter": report.subject.adapter,
        "dataset": report.data.name,
        "rows": report.data.rows,
        "answered": report.answered,
        "failed": report.failed,
        "empty": report.empty,
        "truncated": report.truncated,
        "dtype": report.subject.dtype,
        "time": item.time,
        "metrics": {name: value_record(report, name) for name in report.values},
    }


def value_record(report: Report, name: str) -> Json:
    """A number with all that stands beside it."""
    value = report.values[name]
    record = {"value": value.value, "n": value.n, "low": value.low, "high": value.high}
    more = {"median": value.median, "spread": value.spread}
    return {**record, **{key: number for key, number in more.items() if number is not None}}


# --- CSV ----------------------------------------------------------------------------------------------------------


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for spreadsheets."""
    file = io.StringIO()
    # RFC 4180's line ends: with others the csv module leaves a lone \r unquoted, and what follows it is a new cell.
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(map(safe_cell, head))
    for row in rows:
        writer.writerow(["" if cell is None else safe_cell(cell) if isinstance(cell, str) else cell for cell in row])
    text = file.getvalue()
    return text if text.isascii() else "\ufeff" + text


def safe_cell(text: str) -> str:
    """A text that no spreadsheet runs, and that every encoder takes."""
    text = text.replace("\0", "␀").encode(errors="replace").decode()
    return "'" + text if text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r")) else text


def _rows_csv(opened: OpenReport, rows: Sequence[int]) -> str:
    scores = list(opened.scores)
    keys = (*_ROW_KEYS, "worse") if any(row.compares for row in opened.predictions[:1]) else _ROW_KEYS
    head = [*keys, *scores, "verdict", "note"]
    return csv_text(head, (_row_cells(opened, row, keys, scores) for row in rows))


def _row_cells(opened: OpenReport, row: int, keys: Sequence[str], scores: Sequence[str]) -> list[object]:
    prediction = opened.predictions[row]
    review = opened.review.of(prediction)
    told: list[object] = [getattr(prediction, key) for key in keys]
    told[1] = prediction.row + 1
    return [*told, *(opened.scores[name][row] for name in scores), review.verdict, review.note]


def _reports_csv(reports: Sequence[ReportSummary], metrics: Sequence[str]) -> str:
    ends = [f"{name}{end}" for name in metrics for end in ("", " low", " high", " n")]
    return csv_text(
        ["report", "model", "adapter", "dataset", "state", "rows", *ends],
        (_report_cells(item, metrics) for item in reports),
    )


def _report_cells(item: ReportSummary, metrics: Sequence[str]) -> list[object]:
    report = item.report
    subject = report.subject
    cells: list[object] = [item.name, subject.model or subject.name, subject.adapter_name, report.data.name, item.state]
    cells.append(report.answered or report.data.rows)
    for name in metrics:
        value = report.values.get(name)
        cells += (value.value, value.low, value.high, value.n) if value else (None,) * 4
    return cells


# --- JSON lines ---------------------------------------------------------------------------------------------------


def _rows_jsonl(opened: OpenReport, rows: Sequence[int]) -> str:
    return b"".join(dump_line(row_record(opened, row)) for row in rows).decode()


def _reports_jsonl(reports: Sequence[ReportSummary], _metrics: Sequence[str]) -> str:
    return b"".join(dump_line(report_record(item)) for item in reports).decode()


# --- Markdown -----------------------------------------------------------------------------------------------------


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are taken as they are: see `markdown_cell`."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def markdown_cell(text: str) -> str:
    """A text that a Markdown table shows as it is, whatever stands in it."""
    escaped = _MARKDOWN.sub(r"\\\1", html.escape(inert(text), quote=False))
    return escaped.strip("\n").replace("\n", "<br>").replace("\t", " ")


def metrics_markdown(report: Report) -> str:
    """The numbers of a report with their intervals."""
    head = [_("metric"), _("value"), _("95 % interval"), "n"]
    rows = [
        [markdown_cell(heading(name)), number_text(value.value, name), interval_text(value, name), str(value.n)]
        for name, value in report.values.items()
    ]
    return markdown_table(head, rows)


def report_markdown(opened: OpenReport, rows: Sequence[int]) -> str:
    """A report as a page: its numbers, what they do not mean, what they stand on, and some rows."""
    report = opened.report
    told = [*(artefact.message for artefact in report.artefacts), *report.notes, *opened.notes]
    parts = [f"# {markdown_cell(opened.name)}\n", metrics_markdown(report)]
    if told:
        parts.append("\n".join(f"- {markdown_cell(text)}" for text in told) + "\n")
    if report.config:
        options = [[markdown_cell(name), markdown_cell(_plain(value))] for name, value in report.config.items()]
        parts += ["## " + _("Options") + "\n", markdown_table([_("option"), _("value")], options)]
    parts += ["## " + plural("{count} row", "{count} rows", len(rows)) + "\n", _rows_table(opened, rows)]
    return "\n".join(parts)


def _rows_markdown(opened: OpenReport, rows: Sequence[int]) -> str:
    return report_markdown(opened, rows)


def _rows_table(opened: OpenReport, rows: Sequence[int]) -> str:
    scores = ["accuracy" if "accuracy" in opened.scores else EXACT, *telling(opened.scores)]
    pairs = any(prediction.compares for prediction in opened.predictions[:1])
    texts = (_("better answer"), _("worse answer")) if pairs else (_("reference"), _("answer"))
    head = ["#", _("question"), *texts, *map(heading, scores), _("verdict"), _("note")]
    return markdown_table(head, (_markdown_row(opened, row, scores) for row in rows))


def _markdown_row(opened: OpenReport, row: int, scores: Sequence[str]) -> list[str]:
    prediction = opened.predictions[row]
    review = opened.review.of(prediction)
    answer = prediction.worse if prediction.compares else prediction.predict
    if prediction.error:
        answer = _("error: {error}").format(error=prediction.error)
    texts = map(markdown_cell, (question_text(prediction.prompt), prediction.label, answer))
    numbers = (score_text(opened.scores[name][row], name) for name in scores)
    return [str(prediction.row + 1), *texts, *numbers, review.verdict, markdown_cell(review.note)]


def _reports_markdown(reports: Sequence[ReportSummary], metrics: Sequence[str]) -> str:
    head = [_("report"), _("model"), _("adapter"), _("set"), "n", *map(heading, metrics)]
    return markdown_table(head, (_markdown_report(item, metrics) for item in reports))


def _markdown_report(item: ReportSummary, metrics: Sequence[str]) -> list[str]:
    report = item.report
    subject = report.subject
    names = map(markdown_cell, (item.name, subject.model or subject.name, subject.adapter_name, report.data.name))
    values = [report.values.get(name) for name in metrics]
    numbers = [
        f"{number_text(value.value, name)} {_brackets(interval_text(value, name))}".strip() if value else ""
        for name, value in zip(metrics, values, strict=True)
    ]
    return [*names, str(report.answered or report.data.rows), *numbers]


def _brackets(text: str) -> str:
    return f"({text})" if text else ""


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _writer(writers: Mapping[str, _W], format: str) -> _W:
    if format not in writers:
        known = _("the formats are {names}").format(names=", ".join(writers))
        raise UsageError(_("there is no format {name!r}").format(name=format), did_you_mean(format, writers) or known)
    return writers[format]
