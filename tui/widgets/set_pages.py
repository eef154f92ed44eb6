"""What is known of a data set as a whole: how long its texts are, its classes, its problems; and the line of keys."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from core.data.checks import Report
from core.data.problems import DataProblem
from core.data.statistics import Classes, Lengths, Statistics
from core.i18n import _, plural
from core.untrusted import inert_line

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WIDEST_BAR = 48


def bar(share: float, width: int) -> str:
    """A bar of a share from 0 to 1, exactly `width` cells wide, in eighths of a cell. What is there is seen."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, rest = divmod(min(eighths, width * 8), 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def lengths_content(statistics: Statistics, width: int) -> Content:
    """The lengths of questions and answers as histograms, over the facts about all rows."""
    facts = [plural("{count} row", "{count} rows", statistics.rows)]
    if statistics.bad_rows:
        facts.append(plural("{count} bad row", "{count} bad rows", statistics.bad_rows))
    if statistics.turns > 1:
        facts.append(_("{turns:.3g} turns a row").format(turns=statistics.turns))
    if statistics.repeated_questions:
        facts.append(plural("{count} repeated question", "{count} repeated questions", statistics.repeated_questions))
    return Content("\n").join(
        [
            Content(" · ".join(facts)).stylize("$muted"),
            Content(""),
            *_histogram(_("Questions, in characters (with all that stands before them)"), statistics.questions, width),
            Content(""),
            *_histogram(_("Answers, in characters"), statistics.answers, width),
        ]
    )


def _histogram(title: str, lengths: Lengths, width: int) -> list[Content]:
    summary = _("median {median:,} · mean {mean:,.1f} · 95 % up to {most:,} · longest {longest:,}").format(
        median=lengths.median, mean=lengths.mean, most=lengths.percentile_95, longest=lengths.longest
    )
    lines = [Content.assemble((title, "bold")), Content.assemble((summary, "$muted"))]
    most = max((each.count for each in lengths.bins), default=1)
    labels = [f"{each.low:,}–{each.high:,}" if each.low != each.high else f"{each.low:,}" for each in lengths.bins]
    wide = max(map(len, labels), default=0)
    room = max(4, min(_WIDEST_BAR, width - wide - 12))
    for label, each in zip(labels, lengths.bins, strict=True):
        drawn = bar(each.count / most, room)
        lines.append(Content.assemble((f"{label:>{wide}} ", "$muted"), (drawn, "$primary"), f" {each.count:>8,}"))
    return lines


def classes_title(classes: Classes, rows: int) -> Content:
    """What the classes are told apart by."""
    match classes.by:
        case "answer":
            told = plural("{count} answer that repeats", "{count} answers that repeat", len(classes.counts))
        case "beginning":
            told = plural("{count} beginning of answers", "{count} beginnings of answers", len(classes.counts))
        case "none":
            return Content(_("Answers do not repeat here: there are no classes.")).stylize("$muted")
    said = _("from {least:,} to {most:,} of {rows:,} rows · enter finds them").format(
        least=classes.counts[-1][1], most=classes.counts[0][1], rows=rows
    )
    return Content.assemble((told, "bold"), "  ", (said, "$muted"))


def class_content(name: str, count: int, most: int, rows: int, width: int) -> Content:
    """One class: its name, rows, share, and a bar."""
    room = max(4, min(24, width // 4))
    figures = f"{count:>8,} {count / max(1, rows):>6.1%} "
    label = Content(inert_line(name) or _("(empty)")).truncate(max(4, width - room - len(figures) - 1), ellipsis=True)
    gap = " " * (width - label.cell_length - len(figures) - room)
    return Content.assemble(label, gap, (figures, "$muted"), (bar(count / max(1, most), room), "$primary"))


# --- problems ----------------------------------------------------------------------------------------------------


def report_title(report: Report) -> Content:
    """How a check ended."""
    if not report.total:
        return Content.assemble(("✓ ", "bold $text-success"), _("Nothing is wrong with these rows."))
    stops = plural("{count} problem stops a training", "{count} problems stop a training", report.errors)
    rest = report.total - report.errors
    warns = plural("{count} thing to know", "{count} things to know", rest) if rest else ""
    style = "bold $text-warning" if report.errors else "bold"
    said = " · ".join(filter(None, (stops if report.errors else _("Nothing stops a training"), warns)))
    more = report.total - len(report.problems)
    hidden = "  " + _("({count:,} more like them are not listed)").format(count=more) if more > 0 else ""
    return Content.assemble((said, style), (hidden, "$muted"))


def problem_content(problem: DataProblem, width: int) -> Content:
    """Two lines: what is wrong, and where and what to do."""
    error = problem.severity == "error"
    mark = ("! ", "bold $text-error") if error else ("· ", "$text-warning")
    what = Content.assemble(mark, inert_line(problem.what)).truncate(max(1, width), ellipsis=True)
    rest = ": ".join(filter(None, (problem.where.rpartition("/")[2], problem.hint)))  # the folder is known
    where = Content.styled(inert_line("  " + rest), "$muted").truncate(max(1, width), ellipsis=True)
    return Content("\n").join([what, where])


def tabs(names: Mapping[str, str], shown: str, counts: Mapping[str, int], width: int) -> Content:
    """The pages with the digits that open them; the digits alone where there is no room for names."""
    line = Content("")
    for named in (True, False):
        parts = []
        for number, (page, name) in enumerate(names.items(), start=1):
            count = f" {counts[page]:,}" if counts.get(page) else ""
            text = f"{number} {name}{count}" if named or page == shown else str(number)
            parts.append(Content.styled(text, "bold underline $text" if page == shown else "$muted"))
        line = Content("   " if named else "  ").join(parts)
        if line.cell_length <= width:
            break
    return line.truncate(max(1, width), ellipsis=True)


def keys(*, in_list: bool, is_file: bool) -> Content:
    """What can be done in the list of sets, or in one of them.

    Args:
        is_file: whether it is a file that nobody has entered.
    """
    chosen = (
        (in_list, _("enter rows")),
        (in_list, _("1-6 pages")),
        (is_file, _("a enter it in dataset_info.json")),
        (True, _("/ search")),
        (not in_list, _("n next")),
        (True, _("c check")),
        (True, _("s split")),
        (in_list, _("t train")),
        (in_list, _("e evaluate")),
        (in_list, _("j judge")),
        (True, _("r rescan")),
        (True, _("esc back")),
        (True, _("F1 all keys")),
    )
    return Content("  ").join(Content(text) for counts, text in chosen if counts)
