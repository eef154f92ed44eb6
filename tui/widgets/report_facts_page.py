"""Everything that a report says beside its rows: the numbers, what they stand on, and how they came about."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from textual.content import Content

from core.i18n import _
from core.report.report import EvaluatedSet, Report, Subject
from core.report.rows import OpenReport
from core.untrusted import inert_line
from tui.widgets.content_layout import wrapped
from tui.widgets.report_head import head_facts, known_artefacts
from tui.widgets.report_numbers import artefacts_content, numbers_content

_KEY = 24


def facts_content(opened: OpenReport, width: int) -> Content:
    """The facts page for so many cells."""
    report = opened.report
    told, artefacts = head_facts(opened), known_artefacts(opened)
    sections = [
        (_("Numbers, with their 95 % intervals"), [numbers_content(report.values, width)]),
        (_("To be known"), [artefacts_content(artefacts, told, width)] if told or artefacts else []),
        (_("Who answered"), _pairs(_subject(report.subject), width)),
        (_("What was asked"), _pairs(_data(report.data), width)),
        (_("How it went"), _pairs(_course(report, opened), width)),
        (_("Options"), _pairs(((name, _value(value)) for name, value in report.config.items()), width)),
        (_("Packages"), _pairs(report.packages.items(), width)),
    ]
    blocks = [
        Content("\n").join([Content.styled(title, "bold $text-primary"), *lines]) for title, lines in sections if lines
    ]
    return Content("\n\n").join(blocks)


def _pairs(pairs: Iterable[tuple[str, str]], width: int) -> list[Content]:
    lines: list[Content] = []
    for name, value in pairs:
        if value:
            shown = inert_line(name)
            first, *rest = wrapped(Content(inert_line(value)), max(8, width - _KEY - 1))
            gap = " " * max(1, _KEY - cell_len(shown))
            lines.append(Content.assemble((shown, "$muted"), gap, " ", first))
            lines += [Content.assemble(" " * (_KEY + 1), row) for row in rest]
    return lines


def _subject(subject: Subject) -> Iterator[tuple[str, str]]:
    yield _("model"), subject.model
    yield _("adapter"), subject.adapter
    yield _("where"), subject.path
    yield _("method"), subject.method
    yield _("template"), subject.template
    yield _("dtype"), subject.dtype
    yield _("device"), subject.device
    yield _("weights (sha256)"), subject.weights_sha256


def _data(data: EvaluatedSet) -> Iterator[tuple[str, str]]:
    yield _("set"), data.name
    yield _("rows"), f"{data.rows:,}"
    yield _("files"), ", ".join(data.files)
    yield _("sha256"), data.sha256
    yield _("left out"), f"{data.left_out:,}" if data.left_out else ""
    if data.seen_in_training is None:
        yield _("seen in training"), _("not known")
    else:
        yield _("seen in training"), _("{seen:,} of {rows:,}").format(seen=data.seen_in_training, rows=data.rows)
    yield _("trained on"), ", ".join(data.training_sets)


def _course(report: Report, opened: OpenReport) -> Iterator[tuple[str, str]]:
    yield _("answered"), f"{report.answered:,}"
    yield _("failed"), f"{report.failed:,}" if report.failed else ""
    yield _("empty"), f"{report.empty:,}" if report.empty else ""
    yield _("cut"), f"{report.truncated:,}" if report.truncated else ""
    yield _("answers a question"), f"{report.repeats}" if report.repeats > 1 else ""
    for name, value in report.runtimes.items():
        yield name.replace("_", " "), f"{value:,.4g}"
    yield _("written"), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.time)) if report.time else ""
    yield _("file"), str(opened.path)


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
