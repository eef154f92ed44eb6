"""What a report's numbers stand on, in a few lines below the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textual.content import Content

from core.i18n import _, plural
from core.metrics.shown import number_text
from core.report.report import Report
from core.untrusted import inert_line
from tui.evaluation_table import Listed, heading, interval_text
from tui.widgets.run_rows import MARKS, STAGES, STATES


def report_facts(row: Listed, width: int, lines: int) -> Content:
    """At most so many lines about a report, the most important first."""
    told, cautions = [_head(row), *_problems(row)], []
    if row.scored:
        told += [_numbers(row.report), _made_by(row.report)]
        cautions = list(_cautions(row.report))
    room = max(0, lines - len(told))
    if len(cautions) > room > 0:
        more = plural("and {count} more, in the report", "and {count} more, in the report", len(cautions) - room + 1)
        cautions[room - 1 :] = [Content.styled(more, "$muted")]
    return Content("\n").join(line.truncate(max(1, width), ellipsis=True) for line in (*told, *cautions)[:lines])


def _head(row: Listed) -> Content:
    mark, colour = MARKS[row.state]
    report = row.report
    counts = [
        plural("{count} answer", "{count} answers", report.answered) if report.answered else "",
        plural("{count} failed", "{count} failed", report.failed) if report.failed else "",
        plural("{count} empty", "{count} empty", report.empty) if report.empty else "",
        plural("{count} cut off", "{count} cut off", report.truncated) if report.truncated else "",
        _("{n} answers to each row").format(n=report.repeats) if report.repeats > 1 else "",
    ]
    stage = row.watched.history.stage if row.running and row.watched and row.watched.history else None
    state = STAGES[stage.stage] if stage is not None and row.state == "running" else STATES[row.state]
    parts: list[Any] = [(f"{mark} {state}  ", colour), (inert_line(row.name), "bold")]
    told = "  ".join(filter(None, counts))
    return Content.assemble(*parts, f"  {told}")


def _problems(row: Listed) -> Iterator[Content]:
    summary, watched = row.summary, row.watched
    if summary.problem:
        yield Content.styled(inert_line(summary.problem), "$text-error")
    if watched is not None and row.state == "failed" and watched.summary.error:
        yield Content.styled(inert_line(watched.summary.error), "$text-error")


def _numbers(report: Report) -> Content:
    parts: list[Any] = []
    for name, value in report.values.items():
        parts += [(heading(name) + " ", "$muted"), (number_text(value.value, name), "bold")]
        parts.append((" " + (interval_text(value, name) + "  " if value.low is not None else " "), "$muted"))
    return Content.assemble(*parts)


def _cautions(report: Report) -> Iterator[Content]:
    """What one has to know before the numbers are believed."""
    seen = report.data.seen_in_training
    if seen:
        told = _("{seen} of {rows} questions stand in the adapter's training data")
        yield _caution(told.format(seen=seen, rows=report.data.rows), "$text-error")
    for artefact in report.artefacts:
        yield _caution(artefact.message, "$text-warning")
    for note in report.notes:
        yield _caution(note, "$text-warning")


def _caution(text: str, style: str) -> Content:
    return Content.assemble(("! ", f"bold {style}"), inert_line(text))


def _made_by(report: Report) -> Content:
    subject, data = report.subject, report.data
    rate = report.runtimes.get("rows_per_second")
    facts = [
        subject.method,
        subject.dtype,
        subject.device,
        _("template {name}").format(name=subject.template) if subject.template else "",
        _("{n:.3g} rows/s").format(n=rate) if rate else "",
        _("data {hash}").format(hash=data.sha256[:12]) if data.sha256 else "",
        inert_line(subject.path),
    ]
    return Content.styled(" · ".join(inert_line(fact) for fact in facts if fact), "$muted")
