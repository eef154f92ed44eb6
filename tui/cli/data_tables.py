"""Data sets, their rows, problems and figures as lines for people and as records for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.cells import cell_len

from core.chat.message import Message
from core.data.checks import Report
from core.data.entry import DatasetEntry
from core.data.example import Comparison, Example, Prompt
from core.data.problems import DataProblem, shown_path
from core.data.statistics import Lengths, Statistics
from core.data.subsets import Subset
from core.i18n import _, plural
from core.models.figures import size_text
from core.untrusted import inert, inert_line
from tui.cli.model_tables import Row

_BAR = 40
_CLASSES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """A data set as a list shows it."""

    entry: DatasetEntry
    rows: int | None
    """None when it cannot be told without fetching or because of a problem."""
    size: int
    problem: str = ""


def listed_rows(listed: Sequence[Listed]) -> Iterator[Row]:
    """A table's rows, its titles first."""
    if listed:
        yield _("DATA SET"), _("ROWS"), _("SIZE"), _("FORMAT"), _("COLUMNS"), _("FILE"), ""
    for item in listed:
        entry = item.entry
        yield (
            inert_line(entry.name),
            "?" if item.rows is None else f"{item.rows:,}",
            size_text(item.size) if item.size else "",
            format_text(entry),
            inert_line(", ".join(entry.columns.values())),
            inert_line(entry.hub_name or shown_path(entry.path)),
            inert_line(f"! {item.problem}") if item.problem else "",
        )


def format_text(entry: DatasetEntry) -> str:
    """`alpaca`, `sharegpt, ranking`."""
    return ", ".join(filter(None, (entry.formatting, _("ranking") if entry.ranking else "")))


def listed_record(item: Listed) -> dict[str, Any]:
    """A data set for `--json`."""
    return {**entry_record(item.entry), "rows": item.rows, "size_bytes": item.size, "problem": item.problem}


def entry_record(entry: DatasetEntry) -> dict[str, Any]:
    """A set's description for `--json`."""
    return {
        "kind": "dataset",
        "name": entry.name,
        "registered": entry.registered,
        "path": "" if entry.hub_name else str(entry.path),
        "hub": entry.hub_name,
        "formatting": entry.formatting,
        "ranking": entry.ranking,
        "columns": dict(entry.columns),
        "tags": dict(entry.tags),
    }


def entry_pairs(entry: DatasetEntry, rows: int) -> list[tuple[str, str]]:
    """What a set is, label and value."""
    pairs = [
        (_("name"), inert_line(entry.name)),
        (_("file"), inert_line(entry.hub_name or shown_path(entry.path))),
        (_("rows"), f"{rows:,}"),
        (_("format"), format_text(entry)),
    ]
    pairs += [(_(role), inert_line(name)) for role, name in entry.columns.items()]
    if entry.formatting != "alpaca":
        tags = ", ".join(f"{tag}={name}" for tag, name in entry.tags.items())
        pairs.append((_("tags"), inert_line(tags)))
    if not entry.registered:
        pairs.append((_("entered"), _("no, its columns are guessed: finetui data add FILE enters it")))
    return pairs


# --- rows --------------------------------------------------------------------------------------------------------


def example_lines(example: Example | Comparison | Prompt) -> Iterator[str]:
    """A row as it is learnt from, its texts indented below who says them."""
    for message in example.messages:
        yield from _said(_(message.role), message.content)
    if isinstance(example, Comparison):
        yield from _said(_("better"), example.chosen)
        yield from _said(_("worse"), example.rejected)


def _said(who: str, text: str) -> Iterator[str]:
    first, *rest = inert(text).split("\n")
    yield f"  {who}: {first}"
    yield from (f"    {line}" for line in rest)


def example_record(example: Example | Comparison | Prompt) -> dict[str, Any]:
    """A row for `--json`."""
    record: dict[str, Any] = {"messages": [_message(message) for message in example.messages]}
    if isinstance(example, Comparison):
        return record | {"chosen": example.chosen, "rejected": example.rejected}
    return record | ({"weights": list(example.weights)} if isinstance(example, Example) and example.weights else {})


def _message(message: Message) -> Mapping[str, str]:
    return {"role": message.role, "content": message.content}


# --- problems ----------------------------------------------------------------------------------------------------


def problem_line(problem: DataProblem) -> str:
    """`file:line: problem: what to do`; a mark tells what only warns."""
    text = str(problem) if problem.severity == "error" else f"{problem} ({_('warning')})"
    return inert_line(text)


def problem_record(problem: DataProblem) -> dict[str, Any]:
    """A problem for `--json`."""
    return {
        "kind": "problem",
        "problem": problem.kind,
        "severity": problem.severity,
        "where": problem.where,
        "what": problem.what,
        "hint": problem.hint,
    }


def report_line(report: Report) -> str:
    """How a check ended."""
    looked = plural("{count} row", "{count} rows", report.rows)
    if not report.total:
        return _("{rows}, no problems").format(rows=looked)
    found = plural("{count} problem", "{count} problems", report.errors)
    warned = plural("{count} warning", "{count} warnings", report.total - report.errors)
    bad = plural("{count} row cannot be used", "{count} rows cannot be used", report.bad_rows)
    return ", ".join(filter(None, (looked, found, warned, bad if report.bad_rows else "")))


def report_record(report: Report) -> dict[str, Any]:
    """The last line of a check's `--json`."""
    return {
        "kind": "summary",
        "datasets": list(report.datasets),
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "errors": report.errors,
        "total": report.total,
        "counts": dict(report.counts),
    }


def subset_line(subset: Subset) -> str:
    """What a split has made."""
    classes = plural("{count} class", "{count} classes", subset.classes) if subset.classes else ""
    rows = plural("{count} row", "{count} rows", subset.rows)
    counted = ", ".join(filter(None, (rows, classes)))
    return inert_line(f"{subset.entry.name}: {counted}: {shown_path(subset.entry.path)}")


# --- figures -----------------------------------------------------------------------------------------------------


def statistics_lines(figures: Statistics) -> Iterator[str]:
    """A set in numbers: lengths with their histograms, and the classes."""
    yield _("rows: {count}").format(count=f"{figures.rows:,}")
    if figures.bad_rows:
        yield _("rows that cannot be used: {count}").format(count=f"{figures.bad_rows:,}")
    if figures.repeated_questions:
        yield _("questions that were there before: {count}").format(count=f"{figures.repeated_questions:,}")
    yield _("questions in a row, on average: {count}").format(count=f"{figures.turns:.2f}")
    yield from _lengths_lines(_("question, in characters"), figures.questions)
    yield from _lengths_lines(_("answer, in characters"), figures.answers)
    yield from _class_lines(figures)


def _lengths_lines(title: str, lengths: Lengths) -> Iterator[str]:
    yield ""
    yield _("{title}: {shortest} to {longest}, median {median}, mean {mean}, 95 of 100 up to {high}").format(
        title=title,
        shortest=lengths.shortest,
        longest=lengths.longest,
        median=lengths.median,
        mean=f"{lengths.mean:.1f}",
        high=lengths.percentile_95,
    )
    yield from bars([(f"{at.low}–{at.high}" if at.low < at.high else f"{at.low}", at.count) for at in lengths.bins])


def _class_lines(figures: Statistics) -> Iterator[str]:
    counts = figures.classes.counts
    if not counts:
        return
    yield ""
    told = {
        "answer": plural("{count} different answer", "{count} different answers", len(counts)),
        "beginning": plural("{count} beginning of answers", "{count} beginnings of answers", len(counts)),
    }
    yield told[figures.classes.by] + ":"
    yield from bars([(inert_line(name), count) for name, count in counts[:_CLASSES_SHOWN]])
    if len(counts) > _CLASSES_SHOWN:
        yield "  " + _("and {count} more").format(count=len(counts) - _CLASSES_SHOWN)


def bars(rows: Sequence[tuple[str, int]]) -> Iterator[str]:
    """A bar for each count, as long as its share of the largest."""
    if not rows:
        return
    widest = max(cell_len(label) for label, _count in rows)
    largest = max(count for _label, count in rows)
    digits = len(f"{largest:,}")
    for label, count in rows:
        bar = "#" * -(-count * _BAR // largest) if largest else ""
        yield f"  {label}{' ' * (widest - cell_len(label))}  {count:>{digits},}  {bar}".rstrip()


def statistics_record(name: str, figures: Statistics) -> dict[str, Any]:
    """A set's figures for `--json`."""
    return {"kind": "statistics", "name": name, **asdict(figures)}
