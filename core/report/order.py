"""Rows in an order: worst first unless something else is asked for.

Worst is an answer that failed, then a wrong one, and among those that are equally right the one that is less like its
reference. What has no number comes last, whichever way one sorts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import UsageError, did_you_mean
from core.i18n import _
from core.metrics.shown import described
from core.report.rows import EXACT, TEXT_COLUMNS, OpenReport
from core.untrusted import inert_line

WORST = "worst"
_NEARNESS = ("margin", "edit_similarity", "token_f1", "bleu-4", "rouge-l", "list_f1", "reward")
"""What tells wrong answers apart; the first that there is."""


@dataclass(frozen=True, slots=True)
class Order:
    """By which column, and which way."""

    column: str = WORST
    descending: bool | None = None
    """None: the worst values first where the column is a metric, else the smallest."""

    def __str__(self) -> str:
        return {None: "", True: "-", False: "+"}[self.descending] + self.column


def parse_order(text: str) -> Order:
    """`bleu-4` (worst first), `-len` (largest first), `+len` (smallest first)."""
    text = text.strip()
    if text[:1] in ("+", "-"):
        return Order(text[1:] or WORST, text[0] == "-")
    return Order(text or WORST)


def sort_columns(opened: OpenReport) -> tuple[str, ...]:
    """What rows can be sorted by."""
    return (WORST, *opened.numbers, *TEXT_COLUMNS)


def ordered(opened: OpenReport, rows: Iterable[int], order: Order | None = None) -> list[int]:
    """Numbers of rows in an order; equal ones stay as the data has them.

    Raises:
        UsageError: there is no such column.
    """
    order = order or Order()
    if order.column == WORST:
        return _worst_first(opened, rows, bool(order.descending))
    descending = falls(order)
    if order.column in TEXT_COLUMNS:
        texts = opened.texts(order.column)
        return sorted(rows, key=texts.__getitem__, reverse=descending)
    if order.column not in opened.numbers:
        known = sort_columns(opened)
        hint = did_you_mean(order.column, known) or _("there are: {names}").format(names=", ".join(known))
        raise UsageError(_("sort: there is no column {name!r}").format(name=inert_line(order.column)), hint)
    values = opened.values(order.column)
    rows = list(rows)
    numbered = [row for row in rows if values[row] is not None]
    numbered.sort(key=lambda row: values[row] or 0.0, reverse=descending)
    return numbered + [row for row in rows if values[row] is None]


def nearness_of(opened: OpenReport) -> str:
    """The metric that tells answers apart that are equally wrong; empty where there is none."""
    return next((name for name in _NEARNESS if name in opened.scores), "")


def falls(order: Order) -> bool:
    """Whether an order begins with the largest."""
    if order.descending is not None:
        return order.descending
    return described(order.column).better == "lower"


def _worst_first(opened: OpenReport, rows: Iterable[int], best_first: bool) -> list[int]:
    exact = opened.scores[EXACT]
    nearness: Sequence[float | None] = opened.scores[name] if (name := nearness_of(opened)) else exact
    errors = opened.texts("error")
    keys = [(not error, right or 0.0, near or 0.0) for error, right, near in zip(errors, exact, nearness, strict=True)]
    return sorted(rows, key=keys.__getitem__, reverse=best_first)
