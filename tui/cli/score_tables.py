"""Numbers of a set as lines for people and as records for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.data.problems import shown_path
from core.i18n import _, plural
from core.metrics.metric import Artefact, Confusion, Metric, Scores, Value
from core.metrics.shown import interval_text, number_text
from core.report.rows import OpenReport
from core.untrusted import inert_line
from tui.cli.model_tables import table

Row = tuple[str, ...]

_CLASSES_SHOWN = 20
_MISTAKES_SHOWN = 3


def score_lines(opened: OpenReport, scores: Scores) -> Iterator[str]:
    """All that was measured on a set."""
    rows = plural("{count} row", "{count} rows", len(opened))
    yield inert_line(f"{shown_path(opened.path)}: {rows}")
    yield from table(value_rows(scores.values))
    yield from artefact_lines(scores.artefacts)
    if scores.confusion is not None:
        yield ""
        yield from table(class_rows(scores.confusion))
        yield from _more_classes(scores.confusion)


def value_rows(values: Mapping[str, Value]) -> Iterator[Row]:
    """A table's rows, its titles first; columns that nobody fills are left out."""
    spread = any(value.spread is not None for value in values.values())
    yield _("METRIC"), _("VALUE"), _("95 % INTERVAL"), _("MEDIAN"), _("ROWS"), *([_("SPREAD")] if spread else [])
    for name, value in values.items():
        yield (
            inert_line(name),
            number_text(value.value, name).rjust(8),
            interval_text(value, name),
            "" if value.median is None else number_text(value.median, name).rjust(8),
            f"{value.n:,}".rjust(6),
            *([number_text(value.spread, name) if value.spread is not None else ""] if spread else []),
        )


def artefact_lines(artefacts: Sequence[Artefact]) -> Iterator[str]:
    """What the numbers do not mean, a line each."""
    if artefacts:
        yield ""
    for artefact in artefacts:
        yield inert_line("! " + ": ".join(filter(None, (artefact.metric, artefact.message))))


def class_rows(confusion: Confusion) -> Iterator[Row]:
    """How each class fares, and what was said in its place most often; titles first."""
    yield _("CLASS"), _("LABELS"), _("PREDICTED"), _("RIGHT"), _("PRECISION"), _("RECALL"), _("F1"), _("INSTEAD")
    for each in confusion.classes[:_CLASSES_SHOWN]:
        counts = confusion.counts.get(each.name, {})
        wrong = sorted(((count, name) for name, count in counts.items() if name != each.name), reverse=True)
        instead = ", ".join(f"{name or _('(no class)')} {count}" for count, name in wrong[:_MISTAKES_SHOWN])
        yield (
            _cut(inert_line(each.name)),
            f"{each.labels:,}".rjust(6),
            f"{each.predicted:,}".rjust(9),
            f"{each.right:,}".rjust(5),
            f"{each.precision:.2f}".rjust(9),
            f"{each.recall:.2f}".rjust(6),
            f"{each.f1:.2f}".rjust(6),
            _cut(inert_line(instead), 60),
        )


def _more_classes(confusion: Confusion) -> Iterator[str]:
    more = len(confusion.classes) - _CLASSES_SHOWN
    if more > 0:
        yield "  " + _("and {count} more").format(count=more)


def _cut(text: str, longest: int = 30) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def metric_rows(metrics: Sequence[Metric]) -> Iterator[Row]:
    """A table of the metrics, its titles first."""
    yield _("NAME"), _("BETTER"), _("WHAT IT IS")
    words = {"higher": _("higher"), "lower": _("lower"), "": ""}
    for metric in metrics:
        yield inert_line(metric.name), words[metric.better], inert_line(metric.help)


def metric_record(metric: Metric) -> dict[str, Any]:
    """A metric for `--json`."""
    return {
        "kind": "metric",
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "better": metric.better,
        "help": metric.help,
    }


def scores_record(opened: OpenReport, scores: Scores) -> dict[str, Any]:
    """A set's numbers for `--json`, those under LLaMA-Factory's names among them."""
    return {
        "kind": "scores",
        "path": str(opened.path),
        "rows": len(opened),
        "values": {name: dataclasses.asdict(value) for name, value in scores.values.items()},
        "artefacts": [dataclasses.asdict(artefact) for artefact in scores.artefacts],
        "confusion": dataclasses.asdict(scores.confusion) if scores.confusion is not None else None,
        "compatible": dict(scores.compatible),
        "notes": list(opened.notes),
    }
