"""What stands over the rows of a report: who answered what, the numbers with their intervals, and in one quiet line
what is to be known of them; unfolded, all of it."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from core.i18n import _, plural
from core.metrics.metric import Artefact
from core.report.rows import EXACT, OpenReport
from core.untrusted import inert_line
from tui.widgets.report_columns import VERDICT_MARKS
from tui.widgets.report_numbers import artefacts_content, artefacts_line, numbers_content, numbers_lines

_HIGH = 30
"""Lines of a terminal from which there is room for a second line of numbers."""


class HeadLines(Static):
    """Two or three lines, or everything."""

    DEFAULT_CSS = """
    HeadLines { height: auto; max-height: 60%; padding: 0 1; overflow-y: auto; }
    """

    def __init__(self) -> None:
        super().__init__(Content(_("reading…")))
        self._told: tuple[OpenReport, int, bool] | None = None
        self._unfolded = False

    def show(self, opened: OpenReport, shown: int, *, goes_on: bool) -> None:
        """Show a report of which so many rows are listed.

        Args:
            goes_on: whether somebody is still answering.
        """
        self._told = opened, shown, goes_on
        self._draw()

    def unfold(self) -> None:
        """Show all numbers, or the first of them again."""
        self._unfolded = not self._unfolded
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._told is None:
            return
        most = 2 if self.app.size.height >= _HIGH else 1
        width = max(20, self.size.width - 2)
        opened, shown, goes_on = self._told
        who = who_content(opened, shown, width, goes_on=goes_on)
        drawn = head_content(opened, who, width, unfolded=self._unfolded, most=most)
        if drawn != self.content:
            self.update(drawn)


def head_content(opened: OpenReport, who: Content, width: int, *, unfolded: bool, most: int) -> Content:
    """The lines for so many cells, numbers in at most `most` of them."""
    report = opened.report
    told, artefacts = head_facts(opened), known_artefacts(opened)
    lines = [who]
    if unfolded:
        lines += [artefacts_content(artefacts, told, width), numbers_content(report.values, width)]
    else:
        lines += [*numbers_lines(report.values, width, most), artefacts_line(artefacts, told, width)]
    return Content("\n").join(line for line in lines if line.plain)


def who_content(opened: OpenReport, shown: int, width: int, *, goes_on: bool) -> Content:
    """Who answered what, and how many rows are shown."""
    report = opened.report
    rows = len(opened)
    answers = plural("{count:,} answer", "{count:,} answers", rows)
    count = answers if shown == rows else _("{shown:,} of {answers}").format(shown=shown, answers=answers)
    facts = [count, *state_facts(opened, goes_on=goes_on)]
    subject, data = (Content(inert_line(text)) for text in (report.subject.name, report.data.name))
    name = Content.styled(" · ", "$muted").join(part for part in (subject.stylize("bold"), data) if part.plain)
    line = Content.assemble(name, "   ", (" · ".join(facts), "$muted"))
    return line.truncate(max(1, width), ellipsis=True)


def state_facts(opened: OpenReport, *, goes_on: bool) -> list[str]:
    """What is special about the answers as a whole."""
    report = opened.report
    facts = []
    if opened.live:
        planned = max(report.data.rows, len(opened))
        told = _("● being answered: {done:,} of {rows:,}") if goes_on else _("! ended early: {done:,} of {rows:,}")
        facts.append(told.format(done=len(opened), rows=planned))
    if report.repeats > 1:
        facts.append(_("{n} answers a question").format(n=report.repeats))
    for count, what in ((report.failed, _("failed")), (report.empty, _("empty")), (report.truncated, _("cut"))):
        if count:
            facts.append(f"{count:,} {what}")
    if report.subject.dtype:
        facts.append(inert_line(report.subject.dtype))
    if len(opened.review):
        counts = opened.review.counts()
        verdicts = " ".join(f"{VERDICT_MARKS[verdict]}{count}" for verdict, count in counts.items() if count)
        reviewed = _("{count} reviewed").format(count=len(opened.review))
        facts.append(f"{reviewed} {verdicts}".rstrip())
    return facts


def known_artefacts(opened: OpenReport) -> tuple[Artefact, ...]:
    """Why the numbers do not mean what one would think; that they measure memory comes before all else."""
    seen = opened.report.data.seen_in_training
    if not seen:
        return tuple(opened.report.artefacts)
    told = plural("{count} of the questions stands", "{count} of the questions stand", seen)
    leak = _("{seen} in the data that the adapter was trained on").format(seen=told)
    return Artefact("", leak), *opened.report.artefacts


def head_facts(opened: OpenReport) -> list[str]:
    """What stands beside the artefacts: how the report came about."""
    report, told = opened.report, []
    if not opened.live and not opened.report.config and set(report.values) <= {EXACT}:
        measures = _("exact match alone is known of these answers; more is measured by: finetui score {file}")
        told.append(measures.format(file=inert_line(str(opened.path))))
    return [*told, *opened.notes, *report.notes]
