"""A comparison as tables: its numbers, what they mean in words, and its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.i18n import _, plural
from core.metrics.metric import Value
from core.metrics.shown import described, number_text, signed_text
from core.report.compare import Change, Comparison
from core.report.comparison_words import CHANGES, change_word
from core.report.paired import Against, Delta, McNemar
from core.report.prediction import Prediction
from core.report.questions import question_text
from core.report.rows import EXACT
from core.untrusted import inert_line
from tui.evaluation_table import heading
from tui.widgets.report_columns import shared_ends
from tui.widgets.table_rows import Cell, Column, MadeRows, Table, TableRow

_MARKS: Mapping[Change, tuple[str, str]] = {
    "improved": ("+", "good"),
    "regressed": ("-", "bad"),
    "changed": ("~", "live"),
    "same": ("", ""),
}
_SMALLEST = 0.001
_CERTAIN = 0.05
_NAME, _REFERENCE = 12, 14
_ANSWERS = 54
"""Cells for the answers of all models together, so that three of them stand beside their question on 120."""
_JUDGED_BY = 500
"""Questions that tell what all of them begin and end with."""
_CUT = 200
"""Characters of a text that a line can show at most."""


# --- numbers ----------------------------------------------------------------------------------------------------


def numbers_table(compared: Comparison) -> Table:
    """A line for each metric: the baseline's value, and of the others value, difference, interval and what it means."""
    names = [inert_line(name) for name in compared.names]
    columns = [Column(_("metric"), most=18), Column(names[0], right=True, most=_NAME)]
    for against in compared.against:
        columns += [
            Column(names[against.number], right=True, most=_NAME),
            Column(_("Δ"), right=True),
            Column(""),
            Column(_("95 % of Δ")),
            Column("+", right=True),
            Column("-", right=True),
        ]
    rows = [TableRow(name, tuple(_numbers(compared, name, values))) for name, values in compared.values.items()]
    return Table(tuple(columns), tuple(rows), fixed=1)


def _numbers(compared: Comparison, name: str, values: Sequence[Value]) -> Iterator[Cell]:
    best = compared.best.get(name)
    yield Cell(heading(name), "name")
    yield _value(values[0].value, name, best=best == 0)
    for against in compared.against:
        delta = against.deltas[name]
        yield _value(delta.value, name, best=best == against.number)
        style = "" if delta.better is None else "good" if delta.better else "bad"
        yield Cell(signed_text(delta.delta, name), style)
        yield Cell(meaning(delta), style or "muted")
        yield Cell(delta_interval(delta), "muted")
        yield Cell(str(delta.improved) if delta.improved else "", "muted")
        yield Cell(str(delta.regressed) if delta.regressed else "", "muted")


def _value(value: float, name: str, *, best: bool) -> Cell:
    return Cell(("*" if best else "") + number_text(value, name), "best" if best else "")


def delta_interval(delta: Delta) -> str:
    """`[+1.00, +8.00]`; nothing where none was drawn."""
    if delta.low is None or delta.high is None:
        return ""
    return f"[{signed_text(delta.low, delta.metric)}, {signed_text(delta.high, delta.metric)}]"


def meaning(delta: Delta) -> str:
    """What a difference means, in a word or two."""
    if delta.better is not None:
        return _("better") if delta.better else _("worse")
    if delta.delta == 0:
        return _("equal")
    if delta.low is None or delta.high is None:
        return _("unknown")
    if not described(delta.metric).better and not delta.low <= 0 <= delta.high:
        return _("differs")
    return _("chance?")


def mcnemar_text(compared: Comparison, against: Against) -> str:
    """McNemar's test of exact match, with what it means; empty where it could not be made."""
    test = against.mcnemar
    if test is None:
        return ""
    other, base = (inert_line(compared.names[number]) for number in (against.number, 0))
    told = _("Right only with {other}: {there}; only with {base}: {here}. McNemar {p}: {meaning}.")
    return told.format(
        other=other,
        there=test.only_other,
        base=base,
        here=test.only_baseline,
        p=_p_text(test.p),
        meaning=_test_meaning(test, other, base),
    )


def _p_text(p: float) -> str:
    return f"p < {_SMALLEST}" if p < _SMALLEST else f"p = {p:.3f}"


def _test_meaning(test: McNemar, other: str, base: str) -> str:
    if test.p >= _CERTAIN:
        return _("that can be chance")
    better = other if test.only_other > test.only_baseline else base
    return _("{name} is right more often, which is hardly chance").format(name=better)


# --- rows -------------------------------------------------------------------------------------------------------


def rows_table(compared: Comparison, positions: Sequence[int], changes: Sequence[Change], by: str) -> Table:
    """The common rows at some positions, with each report's value and answer.

    Args:
        changes: what became of every common row.
        by: the metric that they are judged by.
    """
    names = [inert_line(name) for name in compared.names]
    valued = by != EXACT
    columns = [Column("#", right=True), Column(_("question"), most=32)]
    columns += [Column(name, right=True, most=9) for name in names if valued]
    columns += [
        Column(_("reference"), most=_REFERENCE),
        *(Column(name, most=max(14, _ANSWERS // len(names))) for name in names),
    ]
    shown = _Questions([compared.predictions(at)[0].prompt for at in range(len(compared.rows))[:_JUDGED_BY]])

    def row(at: int) -> TableRow:
        return _row(compared, at, changes[at], by if valued else "", shown)

    return Table(tuple(columns), MadeRows(positions, row), fixed=2)


class _Questions:
    """Questions without what all of them begin and end with, which would fill a column with itself."""

    def __init__(self, prompts: Sequence[str]) -> None:
        questions = [question_text(prompt) for prompt in prompts]
        self._opening, self._ending = shared_ends(questions)

    def text(self, first: Prediction) -> str:
        question = question_text(first.prompt) or first.id
        if self._opening and question.startswith(self._opening):
            question = "…" + question[len(self._opening) :]
        return question.removesuffix(self._ending) if self._ending else question


def _row(compared: Comparison, at: int, change: Change, by: str, shown: _Questions) -> TableRow:
    predictions = compared.predictions(at)
    values = [column[at] for column in compared.columns[by]] if by else []
    mark, style = _MARKS[change]
    cells = [
        Cell(str(predictions[0].row + 1), "muted"),
        Cell(_line(shown.text(predictions[0]))),
        *(Cell("–" if value is None else number_text(value, by)) for value in values),
        Cell(_line(predictions[0].label), "muted"),
        *map(_answer, predictions),
    ]
    return TableRow(at, tuple(cells), mark, style)


def _answer(prediction: Prediction) -> Cell:
    if prediction.error:
        return Cell("! " + _line(prediction.error), "bad")
    right = prediction.predict == prediction.label
    return Cell(("✓ " if right else "✗ ") + _line(prediction.predict), "good" if right else "")


def _line(text: str) -> str:
    return inert_line(text[:_CUT])


def counts(changes: Sequence[Change]) -> dict[Change, int]:
    """How many rows became what."""
    return {change: sum(each == change for each in changes) for change in CHANGES}


class RowSearch:
    """Finds the common rows whose question, reference or answers have some words; their texts are folded once."""

    def __init__(self, compared: Comparison) -> None:
        self._compared = compared
        self._folded: list[str] = []

    def found(self, positions: Sequence[int], text: str) -> list[int]:
        words = text.casefold().split()
        if not words:
            return list(positions)
        self._folded = self._folded or [self._text(at) for at in range(len(self._compared.rows))]
        return [at for at in positions if all(word in self._folded[at] for word in words)]

    def _text(self, at: int) -> str:
        predictions = self._compared.predictions(at)
        first = predictions[0]
        return "\n".join((first.prompt, first.label, first.id, *(each.predict for each in predictions))).casefold()


def summary_text(compared: Comparison, number: int, changes: Sequence[Change]) -> str:
    """`76 improved, 2 regressed, 10 changed, 12 same`."""
    told = [f"{count} {change_word(change)}" for change, count in counts(changes).items() if count]
    rows = plural("{count} row", "{count} rows", len(changes))
    name, base = inert_line(compared.names[number]), inert_line(compared.names[0])
    return _("{name} against {base}, {rows}: {told}").format(name=name, base=base, rows=rows, told=", ".join(told))
