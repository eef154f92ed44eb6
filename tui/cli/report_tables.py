"""Reports and their rows as lines for people and as records for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from core.data.problems import shown_path
from core.i18n import _, plural
from core.metrics.shown import number_text
from core.report.catalog import ReportSummary
from core.report.export import row_record, value_record
from core.report.figures import heading, score_text, telling
from core.report.groups import error_kinds, grouped_by_kind, kind_text
from core.report.page.answers import choice_text, verdict_text
from core.report.questions import question_text
from core.report.report import Report
from core.report.rows import OpenReport
from core.untrusted import inert_line
from tui.cli.model_tables import table
from tui.cli.run_lines import state_word
from tui.cli.score_tables import artefact_lines, class_rows, value_rows

Row = tuple[str, ...]

_MOST_TEXT = 400


def reports_rows(reports: Sequence[ReportSummary], metrics: Sequence[str]) -> Iterator[Row]:
    """The table of reports, its titles first."""
    titles = (heading(name).upper() for name in metrics)
    yield _("REPORT"), _("MODEL"), _("ADAPTER"), _("SET"), _("STATE"), _("ROWS"), *titles, ""
    for item in reports:
        report, subject = item.report, item.report.subject
        values = [report.values.get(name) for name in metrics]
        yield (
            *map(inert_line, (item.name, subject.model or subject.name, subject.adapter_name, report.data.name)),
            state_word(item.state),
            f"{report.answered or report.data.rows:,}".rjust(4),
            *(number_text(value.value, name) if value else "" for name, value in zip(metrics, values, strict=True)),
            inert_line(f"! {item.problem}") if item.problem else "",
        )


def report_lines(opened: OpenReport, rows: Sequence[int]) -> Iterator[str]:
    """A whole report: who and what, the numbers, what is wrong, and some rows."""
    report = opened.report
    yield inert_line(f"{opened.name}  ({shown_path(opened.path)})")
    yield inert_line(" · ".join(_facts(opened)))
    yield ""
    yield from table(value_rows(report.values))
    yield from artefact_lines(report.artefacts)
    for told in (*_cautions(report), *report.notes, *opened.notes):
        yield inert_line(f"! {told}")
    yield from _kinds(opened)
    if report.confusion is not None:
        yield ""
        yield from table(class_rows(report.confusion))
    for row in rows:
        yield ""
        yield from row_lines(opened, row)


def _facts(opened: OpenReport) -> list[str]:
    report = opened.report
    subject, data = report.subject, report.data
    told = [
        plural("{count} answer", "{count} answers", len(opened)),
        _("of {rows}").format(rows=f"{data.rows:,}") if opened.live else "",
        _("{count} failed").format(count=report.failed) if report.failed else "",
        _("{count} empty").format(count=report.empty) if report.empty else "",
        _("{count} cut").format(count=report.truncated) if report.truncated else "",
        " + ".join(filter(None, (subject.model, subject.adapter_name))),
        subject.method,
        subject.template,
        subject.dtype,
        subject.device,
        _("data {hash}").format(hash=data.sha256[:12]) if data.sha256 else "",
    ]
    return [text for text in told if text]


def _cautions(report: Report) -> Iterator[str]:
    if not report.complete:
        yield _("the evaluation is not finished: these are the answers so far")


def _kinds(opened: OpenReport) -> Iterator[str]:
    groups = grouped_by_kind(opened)
    if len(groups) < 2:
        return
    yield ""
    rows = [(kind_text(group.kind), f"{len(group):,}".rjust(5), group.filter) for group in groups if group.kind]
    yield from table([(_("ANSWERS"), _("ROWS"), _("FILTER")), *rows])


def row_lines(opened: OpenReport, row: int) -> Iterator[str]:
    """One row: what was asked, what should have been answered, and what was."""
    prediction = opened.predictions[row]
    review = opened.review.of(prediction)
    shown = telling(name for name in opened.scores if opened.scores[name][row] is not None)
    told = [
        f"#{prediction.row + 1}",
        kind_text(error_kinds(opened)[row]),
        *(f"{heading(name)} {score_text(opened.scores[name][row], name)}" for name in shown),
        verdict_text(review.verdict),
        f"✎ {review.note}" if review.note else "",
    ]
    yield inert_line(" · ".join(filter(None, told)))
    yield from _side(_("question"), question_text(prediction.prompt))
    yield from _side(_("better") if prediction.compares else _("reference"), prediction.label)
    if prediction.compares:
        yield from _side(_("worse"), prediction.worse)
    if prediction.error:
        yield from _side(_("error"), prediction.error)
    elif not prediction.compares:
        yield from _side(_("answer"), prediction.predict)
    if prediction.choice:
        yield from _side(_("choices"), choice_text(prediction))


def _side(name: str, text: str) -> Iterator[str]:
    text = inert_line(text[: _MOST_TEXT + 1])
    yield f"  {name:<10} {text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + '…'}".rstrip()


def opened_record(opened: OpenReport, rows: Sequence[int]) -> dict[str, Any]:
    """A report with some of its rows as one record."""
    report = opened.report
    return {
        "report": opened.name,
        "path": str(opened.path),
        "subject": dataclasses.asdict(report.subject),
        "data": dataclasses.asdict(report.data),
        "complete": report.complete,
        "answered": report.answered,
        "failed": report.failed,
        "empty": report.empty,
        "truncated": report.truncated,
        "repeats": report.repeats,
        "metrics": {name: value_record(report, name) for name in report.values},
        "artefacts": [dataclasses.asdict(artefact) for artefact in report.artefacts],
        "notes": [*report.notes, *opened.notes],
        "errors": {group.name: len(group) for group in grouped_by_kind(opened)},
        "reviews": opened.review.counts(),
        "runtimes": dict(report.runtimes),
        "config": dict(report.config),
        "rows": [row_record(opened, row) for row in rows],
    }
