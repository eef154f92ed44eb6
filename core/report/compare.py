"""Two or more reports of one set, row against row: how much they differ, and whether that can be chance.

The first report is the baseline. Rows belong together by their ids, else by their numbers, and only where their labels
agree; every number is computed on the rows that all reports have. Differences are resampled in pairs (the same
questions are drawn for every report), which sees differences that two separate intervals would hide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.errors import ReportError, UsageError
from core.i18n import _
from core.metrics.catalog import METRICS, find_metrics, metric
from core.metrics.intervals import Summed, mean_of, summed
from core.metrics.metric import Better, Measuring, Sums, Value
from core.metrics.shown import described, number_text, signed_text
from core.report.alignment import Aligned, aligned
from core.report.export import markdown_cell, markdown_table
from core.report.fairness import differences
from core.report.measured import measure, pair_of
from core.report.paired import Against, Column, Delta, paired
from core.report.prediction import Prediction
from core.report.rows import EXACT, OpenReport

Change: TypeAlias = Literal["improved", "regressed", "changed", "same"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Reports side by side. `rows` and every column go by the same positions."""

    reports: tuple[OpenReport, ...]
    names: tuple[str, ...]
    """Short, and different from one another."""
    rows: tuple[tuple[int, ...], ...]
    """For each common row its number in every report."""
    values: Mapping[str, tuple[Value, ...]]
    """By metric a value for each report, on the common rows; in the order of showing."""
    best: Mapping[str, int | None]
    """By metric the best report; None where two are equal, or nothing is better."""
    against: tuple[Against, ...]
    """Every report but the first."""
    columns: Mapping[str, tuple[Column, ...]]
    """By metric of rows, for each report a number for each common row."""
    warnings: tuple[str, ...] = ()
    """Why the comparison may be unfair."""

    def predictions(self, position: int) -> tuple[Prediction, ...]:
        """What each report has in a row."""
        numbers = self.rows[position]
        return tuple(report.predictions[number] for report, number in zip(self.reports, numbers, strict=True))

    def told_by(self, name: str) -> str:
        """What rows are judged by where a metric is named: whether pairs are told apart is called accuracy."""
        return "accuracy" if name == EXACT and "accuracy" in self.columns else name

    def changes(self, number: int = 1, by: str = EXACT) -> tuple[Change, ...]:
        """For each common row what became of it from the baseline to a report, by a metric of rows.

        Better or worse by the metric; with neither, whether the answer is another one.
        """
        if by not in self.columns:
            known = ", ".join(self.columns)
            raise UsageError(_("there is no metric {name!r} for each row").format(name=by), known)
        before, after = self.columns[by][0], self.columns[by][number]
        sign = -1.0 if described(by).better == "lower" else 1.0
        return tuple(
            _change(sign * ((now or 0.0) - (was or 0.0)), self._answer_is_same(at, number))
            for at, (was, now) in enumerate(zip(before, after, strict=True))
        )

    def table(self) -> str:
        """The numbers in Markdown: a line for each metric, and for each report its value and how much more it is."""
        deltas = [f"Δ {markdown_cell(name)}" for name in self.names[1:]]
        rows = [
            [
                markdown_cell(name),
                *(number_text(value.value, name) for value in values),
                *(_delta_text(against.deltas[name]) for against in self.against),
                f"{values[0].n:,}",
            ]
            for name, values in self.values.items()
        ]
        return markdown_table([_("metric"), *map(markdown_cell, self.names), *deltas, _("rows")], rows)

    def _answer_is_same(self, position: int, number: int) -> bool:
        row = self.rows[position]
        here = self.reports[number].predictions[row[number]]
        return self.reports[0].predictions[row[0]].predict == here.predict


def compare(
    reports: Sequence[OpenReport],
    metrics: Sequence[str] = (),
    measuring: Measuring | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Compare reports; the first is the baseline.

    Args:
        metrics: names; empty: those that the reports have. What a report lacks is measured.

    Raises:
        UsageError: fewer than two reports, or an unknown metric.
        ReportError: the reports have no row in common.
    """
    if len(reports) < 2:
        raise UsageError(_("one report alone cannot be compared"), _("name two or more of the same test set"))
    measuring = measuring or Measuring()
    found = aligned(reports)
    if not found.rows:
        hint = _("compare reports of the same test set")
        raise ReportError(_("the reports have no question in common"), hint)
    chosen = _chosen(metrics, reports) or {name: name for name in _known_metrics(reports)}
    columns = _columns(reports, chosen, found, measuring, on_progress)
    sums = _sums(reports, [name for name in chosen if name not in columns], found, measuring)
    ordered = {
        name: sums.get(name) or tuple(map(mean_of, columns[name]))
        for name in chosen
        if name in {**columns, **sums} and not (name == EXACT and "accuracy" in columns)  # of pairs, which tells it
    }
    names = _names(reports)
    values, against = paired(ordered, columns, found, measuring)
    return Comparison(
        reports=tuple(reports),
        names=names,
        rows=found.rows,
        values=values,
        best={name: _best(of_reports, described(name).better) for name, of_reports in values.items()},
        against=against,
        columns=columns,
        warnings=(*found.warnings, *differences(reports, names)),
    )


# --- what is compared --------------------------------------------------------------------------------------------


def _chosen(names: Sequence[str], reports: Sequence[OpenReport]) -> dict[str, str]:
    """By the metric's name what finds it: names, files of the user's own, and what all reports have anyway."""
    chosen = {}
    for name in names:
        if name in METRICS or all(name in report.scores for report in reports):
            chosen[name] = name
        else:
            chosen |= {found.name: found.source or found.name for found in find_metrics([name])}
    return chosen


def _known_metrics(reports: Sequence[OpenReport]) -> tuple[str, ...]:
    """Those of any report, in the order of showing; of a user's own those that all have, which nobody else knows."""
    there = dict.fromkeys(name for report in reports for name in (*report.report.values, *report.scores))
    own = [name for name in there if name not in METRICS and all(name in report.scores for report in reports)]
    return (*(name for name in METRICS if name in there), *own)


def _columns(
    reports: Sequence[OpenReport],
    chosen: Mapping[str, str],
    found: Aligned,
    measuring: Measuring,
    on_progress: Callable[[float], None] | None,
) -> dict[str, tuple[Column, ...]]:
    """The metrics of rows, on the common rows; a row that does not count in one report counts in none."""
    scores = [_scores(report, chosen, measuring, on_progress) for report in reports]
    places = list(zip(*found.rows, strict=True))
    columns: dict[str, tuple[Column, ...]] = {}
    for name in chosen:
        if all(name in of_report for of_report in scores):
            each = [[of_report[name][at] for at in of] for of_report, of in zip(scores, places, strict=True)]
            kept = _where_all_count(each)
            if any(value is not None for value in kept[0]):
                columns[name] = kept
    return columns


def _where_all_count(columns: Sequence[Column]) -> tuple[Column, ...]:
    if not any(None in column for column in columns):
        return tuple(columns)
    rows = [row if None not in row else (None,) * len(row) for row in zip(*columns, strict=True)]
    return tuple(zip(*rows, strict=True))


def _scores(
    opened: OpenReport, chosen: Mapping[str, str], measuring: Measuring, on_progress: Callable[[float], None] | None
) -> Mapping[str, Column]:
    """The numbers of a report's rows; what it does not have is measured now."""
    missing = [source for name, source in chosen.items() if name not in opened.scores]
    wanted = [each for each in find_metrics(missing) if each.of_row]
    if not wanted:
        return opened.scores
    bare = dataclasses.replace(measuring, bootstrap=0)
    return {**opened.scores, **measure(opened.predictions, wanted, bare, on_progress).rows}


def _sums(
    reports: Sequence[OpenReport], chosen: Sequence[str], found: Aligned, measuring: Measuring
) -> dict[str, tuple[Summed, ...]]:
    """The metrics of whole sets that can be resampled, on the common rows; a row that does not count in one report
    counts in none."""
    sides = [
        [report.predictions[at] for at in of] for report, of in zip(reports, zip(*found.rows, strict=True), strict=True)
    ]
    answered = [not any(row.error for row in rows) for rows in zip(*sides, strict=True)]
    of_reports = [[pair_of(row) for row, counts in zip(side, answered, strict=True) if counts] for side in sides]
    result = {}
    for each in [metric(name) for name in chosen if name in METRICS and any(answered)]:
        if each.of_sums is not None:
            sums = [one for pairs in of_reports if (one := each.of_sums(pairs, measuring)) is not None]
            if len(sums) == len(reports):
                result[each.name] = tuple(map(summed, _where_all_sum(sums, answered)))
    return result


def _where_all_sum(sums: Sequence[Sums], answered: Sequence[bool]) -> Iterator[Sums]:
    """Zeros where nobody answered, or where the row says nothing in one of the reports."""
    counts = [all(map(any, vectors)) for vectors in zip(*(one.each for one in sums), strict=True)]
    for one in sums:
        nothing = [0.0] * len(one.each[0])
        told = (vector if count else nothing for vector, count in zip(one.each, counts, strict=True))
        yield Sums([next(told) if is_answered else nothing for is_answered in answered], one.value)


def _change(step: float, same: bool) -> Change:
    if step:
        return "improved" if step > 0 else "regressed"
    return "same" if same else "changed"


def _delta_text(delta: Delta) -> str:
    """`+12.00 (+4.00 – +20.00)`."""
    if delta.low is None or delta.high is None:
        return signed_text(delta.delta, delta.metric)
    told, low, high = (signed_text(value, delta.metric) for value in (delta.delta, delta.low, delta.high))
    return f"{told} ({low} – {high})"


def _best(values: Sequence[Value], better: Better) -> int | None:
    if not better:
        return None
    best = (max if better == "higher" else min)(value.value for value in values)
    holders = [number for number, value in enumerate(values) if value.value == best]
    return holders[0] if len(holders) == 1 else None


def _names(reports: Sequence[OpenReport]) -> tuple[str, ...]:
    """What each report is called: by who answered, else by its folder, else by its place in the list."""
    for names in (
        [report.report.subject.name for report in reports],
        [report.name for report in reports],
        [report.folder.name for report in reports],
    ):
        if all(names) and len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{report.report.subject.name} ({number})" for number, report in enumerate(reports, start=1))
