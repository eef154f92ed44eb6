"""A comparison as files for others: a page for a browser, Markdown, CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.errors import UsageError, did_you_mean
from core.i18n import _, plural
from core.jsonl import Json, dump_line
from core.metrics.shown import number_text, signed_text
from core.report.compare import Change, Comparison
from core.report.comparison_words import change_word, mcnemar_text, signed_interval
from core.report.export import csv_text, markdown_cell, markdown_table
from core.report.figures import heading
from core.report.html import document
from core.report.page.comparing import (
    changed_rows,
    chosen_rows,
    differences,
    fairness,
    side_by_side,
)
from core.report.page.facts import when
from core.report.page.markup import tag
from core.report.questions import question_text
from core.report.rows import EXACT


def export_comparison(compared: Comparison, format: str, rows: Sequence[int] | None = None, by: str = EXACT) -> str:
    """A comparison as the text of a file.

    Args:
        format: `html` and `markdown`: numbers, differences and rows. `csv`, `jsonl`: rows with every model's answer.
        rows: positions of common rows, in their order. Not given: all; of pages those that improved or regressed.
        by: the metric of rows by which a row is improved or regressed.

    Raises:
        UsageError: there is no such format, or no such metric of rows.
    """
    chosen = range(len(compared.rows)) if rows is None else rows
    changes = [compared.changes(against.number, by) for against in compared.against]
    writers: Mapping[str, Callable[[], str]] = {
        "html": lambda: comparison_page(compared, rows, by),
        "markdown": lambda: _markdown(compared, rows or (), changes),
        "csv": lambda: _csv(compared, chosen, changes),
        "jsonl": lambda: b"".join(dump_line(_record(compared, at, changes)) for at in chosen).decode(),
    }
    if format not in writers:
        known = _("the formats are {names}").format(names=", ".join(writers))
        raise UsageError(_("there is no format {name!r}").format(name=format), did_you_mean(format, writers) or known)
    return writers[format]()


def comparison_page(compared: Comparison, rows: Sequence[int] | None = None, by: str = EXACT) -> str:
    """The page of a comparison as HTML; the same rules as for a report's page."""
    title = " / ".join(compared.names)
    data = compared.reports[0].report.data.name
    newest = max(report.report.time for report in compared.reports)
    common = plural("{count} row that all have", "{count} rows that all have", len(compared.rows))
    facts = tag("p", *(tag("span", text) for text in (data, common, when(newest)) if text), class_="facts")
    return document(
        title,
        tag("div", tag("h1", title), facts),
        fairness(compared),
        side_by_side(compared),
        *differences(compared, by),
        *(changed_rows(compared, by) if rows is None else [chosen_rows(compared, rows)]),
    )


def _markdown(compared: Comparison, rows: Sequence[int], changes: Sequence[Sequence[Change]]) -> str:
    """Numbers, differences and warnings; then some rows."""
    names = [markdown_cell(name) for name in compared.names]
    others = [names[against.number] for against in compared.against]
    parts = [f"# {' / '.join(names)}\n"]
    head = [_("metric"), *names, *(f"Δ {name}" for name in others), "n"]
    parts.append(markdown_table(head, [_metric_cells(compared, name) for name in compared.values]))
    tests = [mcnemar_text(compared, against) for against in compared.against]
    if remarks := [text for text in (*tests, *compared.warnings) if text]:
        parts.append("\n".join(f"- {markdown_cell(text)}" for text in remarks) + "\n")
    if rows:
        head = ["#", _("question"), _("reference"), *names, *others]
        parts.append(markdown_table(head, [_row_cells(compared, at, changes) for at in rows]))
    return "\n".join(parts)


def _metric_cells(compared: Comparison, name: str) -> list[str]:
    cells = [markdown_cell(heading(name))]
    for at, value in enumerate(compared.values[name]):
        number = number_text(value.value, name)
        cells.append(f"**{number}**" if compared.best[name] == at else number)
    for against in compared.against:
        delta = against.deltas[name]
        interval = signed_interval(delta)
        cells.append(signed_text(delta.delta, name) + (f" ({interval})" if interval else ""))
    return [*cells, str(compared.values[name][0].n)]


def _row_cells(compared: Comparison, position: int, changes: Sequence[Sequence[Change]]) -> list[str]:
    rows = compared.predictions(position)
    first = rows[0]
    texts = (question_text(first.prompt), first.label, *(row.error or row.predict for row in rows))
    return [str(first.row + 1), *map(markdown_cell, texts), *(change_word(each[position]) for each in changes)]


def _csv(compared: Comparison, rows: Sequence[int], changes: Sequence[Sequence[Change]]) -> str:
    names = compared.names
    head = ["id", "row", "prompt", "label", *names, *(f"{name} change" for name in names[1:])]
    head += [f"{name} {metric}" for metric in compared.columns for name in names]
    return csv_text(head, (_csv_cells(compared, at, changes) for at in rows))


def _csv_cells(compared: Comparison, position: int, changes: Sequence[Sequence[Change]]) -> list[object]:
    rows = compared.predictions(position)
    first = rows[0]
    cells: list[object] = [first.id, first.row + 1, first.prompt, first.label]
    cells += [row.error or row.predict for row in rows]
    cells += [each[position] for each in changes]
    return [*cells, *(column[position] for columns in compared.columns.values() for column in columns)]


def _record(compared: Comparison, position: int, changes: Sequence[Sequence[Change]]) -> Json:
    rows = compared.predictions(position)
    first, names = rows[0], compared.names
    return {
        "id": first.id,
        "row": first.row,
        "prompt": first.prompt,
        "label": first.label,
        "predictions": {name: row.predict for name, row in zip(names, rows, strict=True)},
        "errors": {name: row.error for name, row in zip(names, rows, strict=True) if row.error},
        "changes": {name: each[position] for name, each in zip(names[1:], changes, strict=True)},
        "scores": {
            metric: {name: column[position] for name, column in zip(names, columns, strict=True)}
            for metric, columns in compared.columns.items()
        },
    }
