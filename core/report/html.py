"""A report as one page that a browser opens without a server: numbers with intervals, what they do not mean, curves,
the best and the worst answers, and everything that they stand on.

The page loads nothing and runs nothing: its policy forbids both, whatever stands in a model's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.data.dataset_file import replace_file
from core.errors import ReportError
from core.i18n import _, plural
from core.report.filters import filter_rows
from core.report.order import Order, ordered
from core.report.page.answers import answers
from core.report.page.facts import again, facts, training, when
from core.report.page.markup import Html, section, tag
from core.report.page.numbers import cards, confused, kinds_of_errors, notes, numbers, spread_of_scores
from core.report.page.style import CSS
from core.report.rows import EXACT, OpenReport, open_report
from core.untrusted import inert_line
from core.workspace import Workspace

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_WORST, _BEST, _REVIEWED, _MOST = 20, 5, 100, 500


def write_html(target: Path, workspace: Workspace, output: Path | None = None) -> Path:
    """Write the page of a report.

    Args:
        target: what `open_report` takes.
        output: not given: `report.html` beside the report.

    Raises:
        ReportError: there is no report, or the page cannot be written.
    """
    opened = open_report(target)
    path = output or opened.folder / "report.html"
    return write_page(path, report_page(opened, workspace))


def write_page(path: Path, page: str) -> Path:
    """Put a page in its place, whole."""
    try:
        replace_file(path, page.encode(errors="replace"))
    except OSError as error:
        what = _("{path} cannot be written: {reason}").format(path=inert_line(str(path)), reason=error.strerror)
        raise ReportError(what, _("choose another file")) from error
    return path


def report_page(opened: OpenReport, workspace: Workspace, rows: Sequence[int] | None = None) -> str:
    """The page of a report as HTML.

    Args:
        rows: those that are shown, in their order. At most 500 of them. Not given: the worst
            and the best ones, and those that were reviewed.
    """
    report = opened.report
    return document(
        opened.name or opened.path.name,
        _head(opened),
        cards(report) if report.values else None,
        notes(opened),
        numbers(report),
        training(report.subject, workspace),
        spread_of_scores(opened),
        kinds_of_errors(opened),
        confused(report.confusion),
        *(_chosen(opened, rows) if rows is not None else _examples(opened)),
        facts(report, again(opened.folder, workspace)),
    )


def document(title: str, *parts: Html | None) -> str:
    """A whole page around its parts."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", inert_line(title)),
        tag("style", Html(CSS)),
    )
    written = tag("footer", _("Written by finetui. Everything is in this file; nothing is loaded."))
    body = tag("body", tag("main", *(part for part in parts if part), written))
    return f"<!doctype html>\n{tag('html', head, body)}\n"


def _head(opened: OpenReport) -> Html:
    report = opened.report
    subject = report.subject
    told = [
        plural("{count} answer", "{count} answers", len(opened)),
        subject.model if subject.model != subject.name else "",
        subject.method,
        subject.template,
        subject.dtype,
        subject.device,
        when(report.time),
    ]
    name = tag("h1", subject.name, " · " if report.data.name else None, report.data.name or None)
    return tag("div", name, tag("p", *(tag("span", text) for text in told if text), class_="facts"))


def _examples(opened: OpenReport) -> list[Html]:
    every = range(len(opened))
    worst = [row for row in ordered(opened, every) if not opened.scores[EXACT][row]][:_WORST]
    best = ordered(opened, every, Order(descending=True))
    best = [row for row in best[: _BEST + _WORST] if row not in worst and not opened.predictions[row].error][:_BEST]
    reviewed = filter_rows(opened, "reviewed")[:_REVIEWED]
    return [
        section(_("Reviewed"), answers(opened, reviewed)),
        section(_("Worst answers"), answers(opened, worst)),
        section(_("Best answers"), answers(opened, best)),
    ]


def _chosen(opened: OpenReport, rows: Sequence[int]) -> list[Html]:
    more = len(rows) - _MOST
    left_out = plural("{count} more is left out", "{count} more are left out", more) if more > 0 else ""
    title = plural("{count} row", "{count} rows", len(rows))
    return [section(title, answers(opened, rows[:_MOST]), note=left_out)]
