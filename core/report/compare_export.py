"""A comparison as files for others: a page for a browser, Markdown, CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.errors import UsageError, did_you_mean
from core.i18n import _
from core.jsonl import dump_line
from core.metrics.shown import number_text
from core.report.compare import Comparison
from core.report.export import csv_text, markdown_cell, markdown_table
from core.report.figures import heading
from core.report.html import document
from core.report.page.comparing import changed_rows, differences, fairness, side_by_side, signed, signed_interval
from core.report.page.facts import when
from core.report.page.markup import tag
from core.report.questions import question_text
from core.report.rows import EXACT


def export_comparison(compared: Comparison, format: str, rows: Sequence[int] | None = None) -> str:
    """A comparison as the text of a file.

    Args:
        format: `html`, `markdown`: numbers and differences. `csv`, `jsonl`: the rows with every model's answer.
        rows: positions of common rows, in their order; not given: all.

    Raises:
        UsageError: there is no such format.
    """
    chosen = range(len(compared.rows)) if rows is None else rows
    writers: Mapping[str, Callable[[], str]] = {
        "html": lambda: comparison_page(compared),
        "markdown": lambda: comparison_markdown(compared, chosen if rows is not None else ()),
        "csv": lambda: _csv(compared, chosen),
        "jsonl": lambda: _jsonl(compared, chosen),
    }
    if format not in writers:
        known = _("the formats are {names}").format(names=", ".join(writers))
        raise UsageError(_("there is no format {name!r}").format(name=format), did_you_mean(format, writers) or known)
    return writers[format]()


def comparison_page(compared: Comparison) -> str:
    """The page of a comparison as HTML; the same rules as for a report's page."""
    title = " / ".join(compared.names)
    data = compared.reports[0].report.data.name
    newest = max(report.report.time for report in compared.reports)
    told = (data, _("{count} rows that all have").format(count=len(compared.rows)), when(newest))
    facts = tag("p", *(tag("span", text) for text in told if text), class_="facts")
    return document(
        title,
        tag("div", tag("h1", title), facts),
        fairness(compared),
        side_by_side(compared),
        *differences(compared),
        *changed_rows(compared),
    )


def comparison_markdown(compared: Comparison, rows: Sequence[int] = ()) -> str:
    """Numbers, differences and warnings; then some rows."""
    deltas = ("Δ " + markdown_cell(compared.names[against.number]) for against in compared.against)
    head = [_("metric"), *map(markdown_cell, compared.names), *deltas]
    parts = [f"# {markdown_cell(' / '.join(compared.names))}\n"]
    parts.append(markdown_table([*head, "n"], [_metric_cells(compared, name) for name in compared.values]))
    parts += [f"- {markdown_cell(text)}" for text in compared.warnings]
    if rows:
        names = ["#", _("question"), _("reference"), *map(markdown_cell, compared.names)]
        parts.append("\n" + markdown_table(names, [_row_cells(compared, at) for at in rows]))
    return "\n".join(parts) + "\n"


def _metric_cells(compared: Comparison, name: str) -> list[str]:
    cells = [markdown_cell(heading(name))]
    for at, value in enumerate(compared.values[name]):
        number = number_text(value.value, name)
        cells.append(f"**{number}**" if compared.best[name] == at else number)
    for against in compared.against:
        delta = against.deltas[name]
        interval = signed_interval(delta)
        cells.append(signed(delta.delta, name) + (f" ({interval})" if interval else ""))
    return [*cells, str(compared.values[name][0].n)]


def _row_cells(compared: Comparison, position: int) -> list[str]:
    rows = compared.predictions(position)
    first = rows[0]
    texts = (question_text(first.prompt), first.label, *(row.error or row.predict for row in rows))
    return [str(first.row + 1), *map(markdown_cell, texts)]


def _csv(compared: Comparison, rows: Sequence[int]) -> str:
    changed = [compared.names[against.number] for against in compared.against] if EXACT in compared.columns else []
    head = ["id", "row", "prompt", "label", *compared.names, *(f"{name} change" for name in changed)]
    head += [f"{name} {metric}" for metric in compared.columns for name in compared.names]
    changes = [compared.changes(number) for number in range(1, len(compared.reports))] if changed else []
    return csv_text(head, (_csv_cells(compared, at, [each[at] for each in changes]) for at in rows))


def _csv_cells(compared: Comparison, position: int, changes: Sequence[str]) -> list[object]:
    rows = compared.predictions(position)
    first = rows[0]
    cells: list[object] = [first.id, first.row + 1, first.prompt, first.label, *(row.predict for row in rows), *changes]
    return [*cells, *(column[position] for columns in compared.columns.values() for column in columns)]


def _jsonl(compared: Comparison, rows: Sequence[int]) -> str:
    return b"".join(dump_line(_record(compared, at)) for at in rows).decode()


def _record(compared: Comparison, position: int) -> dict[str, object]:
    rows = compared.predictions(position)
    first = rows[0]
    return {
        "id": first.id,
        "row": first.row,
        "prompt": first.prompt,
        "label": first.label,
        "predictions": {name: row.predict for name, row in zip(compared.names, rows, strict=True)},
        "scores": {
            metric: {name: column[position] for name, column in zip(compared.names, columns, strict=True)}
            for metric, columns in compared.columns.items()
        },
    }
