"""A comparison as lines for people and as records for machines."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from core.i18n import _, plural
from core.metrics.shown import number_text, signed_text
from core.report.compare import Change, Comparison
from core.report.comparison_words import CHANGES, change_word, mcnemar_text, signed_interval
from core.report.paired import Against, Delta
from core.untrusted import inert, inert_line
from tui.cli.model_tables import table

Row = tuple[str, ...]

_TEXT_SHOWN = 1_000


def comparison_lines(compared: Comparison, by: str) -> Iterator[str]:
    """All that was compared; the best of a line is marked with a star."""
    rows = plural("{count} row that all have", "{count} rows that all have", len(compared.rows))
    yield _("{rows}; baseline: {name}").format(rows=rows, name=inert_line(compared.names[0]))
    of_two = len(compared.against) == 1
    yield from table(_value_rows(compared, compared.against if of_two else ()))
    for against in compared.against:
        yield ""
        if not of_two:  # three and more beside one another are wider than terminals
            yield from table(_delta_rows(compared, against))
        counts = Counter(compared.changes(against.number, by))
        told = ", ".join(f"{counts[change]} {change_word(change)}" for change in CHANGES)
        yield inert_line(f"{compared.names[against.number]}: {told} ({by})")
        if against.mcnemar is not None:
            yield "  " + _mcnemar_line(compared, against.number)


def _value_rows(compared: Comparison, beside: Sequence[Against]) -> Iterator[Row]:
    """Everybody's numbers.

    Args:
        beside: whose differences stand on the same lines.
    """
    differences = [title for against in beside for title in _delta_titles(compared, against)]
    yield _("METRIC"), *map(inert_line, compared.names), *differences, _("ROWS")
    for name, values in compared.values.items():
        numbers = (
            number_text(value.value, name) + (" *" if compared.best[name] == at else "  ")
            for at, value in enumerate(values)
        )
        deltas = (cell for against in beside for cell in _delta_cells(against.deltas[name]))
        yield inert_line(name), *(number.rjust(9) for number in numbers), *deltas, f"{values[0].n:,}".rjust(5)


def _delta_rows(compared: Comparison, against: Against) -> Iterator[Row]:
    """How one differs from the baseline."""
    yield _("METRIC"), *_delta_titles(compared, against)
    for name in compared.values:
        yield inert_line(name), *_delta_cells(against.deltas[name])


def _delta_titles(compared: Comparison, against: Against) -> Row:
    return f"Δ {inert_line(compared.names[against.number])}", _("95 % INTERVAL"), ""


def _delta_cells(delta: Delta) -> Row:
    words = {True: _("better"), False: _("worse"), None: ""}
    return signed_text(delta.delta, delta.metric).rjust(8), signed_interval(delta), words[delta.better]


def _mcnemar_line(compared: Comparison, number: int) -> str:
    return inert_line(mcnemar_text(compared, compared.against[number - 1]))


def row_lines(compared: Comparison, position: int, change: Change) -> Iterator[str]:
    """One row: the reference, and below it what each model answered."""
    rows = compared.predictions(position)
    where = rows[0].id or str(rows[0].row + 1)
    yield inert_line(f"{where}  {change_word(change)}")
    yield from _said(_("reference"), rows[0].label)
    for name, row in zip(compared.names, rows, strict=True):
        yield from _said(name, row.error or row.predict)


def _said(who: str, text: str) -> Iterator[str]:
    more = len(text) - _TEXT_SHOWN
    cut = text[:_TEXT_SHOWN] + "… " + plural("({count} more character)", "({count} more characters)", more)
    first, *rest = inert(cut if more > 0 else text).split("\n")
    yield f"  {inert_line(who)}: {first}".rstrip()
    yield from (f"    {line}" for line in rest)


def comparison_record(compared: Comparison, by: str) -> dict[str, Any]:
    """A comparison for `--json`."""
    return {
        "kind": "comparison",
        "names": list(compared.names),
        "paths": [str(report.path) for report in compared.reports],
        "rows": len(compared.rows),
        "values": {name: [dataclasses.asdict(each) for each in values] for name, values in compared.values.items()},
        "best": {name: best if best is None else compared.names[best] for name, best in compared.best.items()},
        "against": [
            {
                "name": compared.names[against.number],
                "deltas": {
                    name: {**dataclasses.asdict(delta), "better": delta.better}
                    for name, delta in against.deltas.items()
                },
                "mcnemar": dataclasses.asdict(against.mcnemar) if against.mcnemar else None,
                "changes": dict(Counter(compared.changes(against.number, by))),
            }
            for against in compared.against
        ],
        "warnings": list(compared.warnings),
    }


def row_record(compared: Comparison, position: int, change: Change) -> dict[str, Any]:
    """One row for `--json`."""
    rows = compared.predictions(position)
    return {
        "kind": "row",
        "id": rows[0].id or str(rows[0].row + 1),
        "change": change,
        "label": rows[0].label,
        "predictions": {name: row.predict for name, row in zip(compared.names, rows, strict=True)},
        "scores": {
            metric: {name: column[position] for name, column in zip(compared.names, columns, strict=True)}
            for metric, columns in compared.columns.items()
        },
    }
