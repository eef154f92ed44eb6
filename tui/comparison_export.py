"""A comparison as a file: the numbers with their intervals, and the rows that are shown with every model's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.i18n import _
from core.jsonl import Json, dump_line
from core.metrics.shown import number_text
from core.report.compare import Change, Comparison
from core.report.export import csv_text, markdown_cell, markdown_table
from core.report.questions import question_text
from tui.comparison_tables import CHANGES, delta_interval, mcnemar_text, meaning, signed
from tui.evaluation_table import heading

ENDINGS = ("md", "csv", "jsonl")


def comparison_text(
    compared: Comparison, positions: Sequence[int], changes: Sequence[Change], by: str, ending: str
) -> str:
    """What is shown, as the text of a file.

    Args:
        positions: the common rows that are shown.
        changes: what became of every common row, by the metric `by`.
        ending: of `ENDINGS`.
    """
    match ending:
        case "csv":
            head = ["id", "row", "change", "question", "reference", *_doubled(compared.names, by)]
            return csv_text(head, (_cells(compared, at, changes[at], by) for at in positions))
        case "jsonl":
            return b"".join(dump_line(_record(compared, at, changes[at], by)) for at in positions).decode()
        case _markdown:
            return "\n".join(_markdown_parts(compared, positions, changes, by))


def _doubled(names: Sequence[str], by: str) -> Iterator[str]:
    for name in names:
        yield name
        yield f"{name} {by}"


def _cells(compared: Comparison, at: int, change: Change, by: str) -> list[object]:
    predictions = compared.predictions(at)
    first = predictions[0]
    cells: list[object] = [first.id, first.row + 1, change, question_text(first.prompt), first.label]
    for number, prediction in enumerate(predictions):
        cells += [prediction.error or prediction.predict, compared.columns[by][number][at]]
    return cells


def _record(compared: Comparison, at: int, change: Change, by: str) -> Json:
    predictions = compared.predictions(at)
    first = predictions[0]
    answers = {
        name: {"predict": each.predict, "error": each.error, by: compared.columns[by][number][at]}
        for number, (name, each) in enumerate(zip(compared.names, predictions, strict=True))
    }
    known = {"id": first.id, "row": first.row, "change": change, "prompt": first.prompt, "label": first.label}
    return {**known, "answers": answers}


def _markdown_parts(
    compared: Comparison, positions: Sequence[int], changes: Sequence[Change], by: str
) -> Iterator[str]:
    names = [markdown_cell(name) for name in compared.names]
    yield f"# {_('Comparison')}: {' · '.join(names)}\n"
    head = [_("metric"), names[0]]
    for against in compared.against:
        head += [names[against.number], "Δ", _("95 % of Δ"), _("meaning")]
    yield markdown_table(head, (_markdown_numbers(compared, name) for name in compared.values))
    tests = [told for against in compared.against if (told := mcnemar_text(compared, against))]
    lines = [markdown_cell(text) for text in (*tests, *compared.warnings)]
    if lines:
        yield "\n".join(f"- {text}" for text in lines) + "\n"
    columns = ["#", heading(by), _("question"), _("reference"), *names]
    yield markdown_table(columns, (_markdown_row(compared, at, changes[at]) for at in positions))


def _markdown_numbers(compared: Comparison, name: str) -> list[str]:
    cells = [markdown_cell(heading(name)), number_text(compared.values[name][0].value, name)]
    for against in compared.against:
        delta = against.deltas[name]
        cells += [number_text(delta.value, name), signed(delta.delta, name), delta_interval(delta), meaning(delta)]
    return cells


def _markdown_row(compared: Comparison, at: int, change: Change) -> list[str]:
    predictions = compared.predictions(at)
    first = predictions[0]
    texts = [question_text(first.prompt), first.label, *(each.error or each.predict for each in predictions)]
    return [str(first.row + 1), CHANGES[change], *map(markdown_cell, texts)]
