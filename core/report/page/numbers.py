"""The numbers of a report on its page: cards, the table with intervals, how scores and errors lie, the confusion."""

from __future__ import annotations

from collections.abc import Sequence

from core.i18n import _, plural
from core.metrics.metric import Artefact, Confusion, Value
from core.metrics.shown import described, interval_text, number_text
from core.report.figures import heading, is_percent, score_text
from core.report.groups import grouped_by_kind, kind_text
from core.report.page.charts import bar, histogram, whisker
from core.report.page.markup import Child, Html, joined, section, table, tag
from core.report.report import Report
from core.report.rows import EXACT, OpenReport

_CARDS, _HISTOGRAMS, _CLASSES, _MATRIX = 4, 4, 30, 12
_FIRST = ("accuracy", "margin", EXACT, "bleu-4", "rouge-l", "choice_accuracy", "macro_f1", "token_f1")


def cards(report: Report) -> Html:
    """The numbers that one looks for first."""
    names = [name for name in _FIRST if name in report.values] or list(report.values)
    return tag("div", *(_card(name, report.values[name]) for name in names[:_CARDS]), class_="cards")


def _card(name: str, value: Value) -> Html:
    interval = interval_text(value, name)
    unit = tag("small", " %") if is_percent(name) else None
    return tag(
        "div",
        tag("div", heading(name), class_="name"),
        tag("div", number_text(value.value, name), unit, class_="big"),
        tag("div", _("95 %: {interval}").format(interval=interval) if interval else "", class_="under"),
        class_="card",
    )


def numbers(report: Report) -> Html:
    """Every metric with its interval."""
    head: list[Child] = [_("metric"), _("value"), "", _("95 % interval"), "n", _("median")]
    repeated = any(value.spread is not None for value in report.values.values())
    rows = [_number_row(name, value, repeated) for name, value in report.values.items()]
    head += [_("spread")] if repeated else []
    return section(_("Numbers"), table(head, rows, "numbers") if rows else None)


def _number_row(name: str, value: Value, repeated: bool) -> list[Child]:
    line = whisker(value.value, value.low, value.high) if is_percent(name) else None
    row: list[Child] = [
        joined(heading(name), tag("span", described(name).help, class_="help")),
        tag("strong", number_text(value.value, name)),
        line,
        interval_text(value, name),
        f"{value.n:,}",
        "" if value.median is None else number_text(value.median, name),
    ]
    return [*row, score_text(value.spread, name)] if repeated else row


def notes(opened: OpenReport) -> Html:
    """What one has to know before one believes the numbers; nothing where that is nothing."""
    report = opened.report
    told = [_artefact(artefact) for artefact in report.artefacts]
    if not report.complete:
        told.insert(0, _("the evaluation is not finished: these are the answers so far"))
    told += [*report.notes, *opened.notes]
    if not told:
        return Html("")
    listed = tag("ul", *(tag("li", text) for text in told))
    return tag("div", tag("h2", _("Before you believe these numbers")), listed, class_="notes")


def _artefact(artefact: Artefact) -> str:
    return ": ".join(filter(None, (heading(artefact.metric) if artefact.metric else "", artefact.message)))


def spread_of_scores(opened: OpenReport) -> Html:
    """Histograms of the rows' scores, for metrics that are more than right or wrong."""
    names = dict.fromkeys((*(name for name in _FIRST if name in opened.scores), *opened.scores))
    drawn = [drawing for name in names if (drawing := _histogram(opened, name))][:_HISTOGRAMS]
    return section(_("How the rows score"), tag("div", *drawn, class_="charts") if drawn else None)


def _histogram(opened: OpenReport, name: str) -> Html | None:
    values = [value for value in opened.scores[name] if value is not None]
    if not is_percent(name) or all(value in (0.0, 100.0) for value in values):
        return None
    caption = _("{metric}: rows by score").format(metric=heading(name))
    return tag("figure", tag("figcaption", caption), histogram(values))


def kinds_of_errors(opened: OpenReport) -> Html:
    """How many answers are right, and what is wrong with the others."""
    groups = grouped_by_kind(opened)
    most = max((len(group) for group in groups), default=0)
    rows: list[list[Child]] = [
        [
            kind_text(kind),
            f"{len(group):,}",
            f"{100 * len(group) / len(opened):.1f} %",
            bar(len(group), most, "right" if kind == "right" else "bad"),
        ]
        for group in groups
        if (kind := group.kind)
    ]
    return section(_("What is wrong"), table([_("answers"), "n", _("share"), ""], rows, "numbers") if rows else None)


def confused(confusion: Confusion | None) -> Html:
    """Classes: how each fares, and what was said for what."""
    if confusion is None:
        return Html("")
    head: list[Child] = [_("class"), _("labels"), _("said"), _("right"), _("precision"), _("recall"), "F1"]
    rows: list[list[Child]] = [
        [
            one.name,
            f"{one.labels:,}",
            f"{one.predicted:,}",
            f"{one.right:,}",
            *(f"{number:.1f}" for number in (one.precision, one.recall, one.f1)),
        ]
        for one in confusion.classes[:_CLASSES]
    ]
    more = len(confusion.classes) - _CLASSES
    told = plural("{count} more class is in report.json", "{count} more classes are in report.json", more)
    note = tag("p", told, class_="muted") if more > 0 else None
    return section(_("Classes"), table(head, rows, "numbers"), note, _matrix(confusion))


def _matrix(confusion: Confusion) -> Html | None:
    """Counts of what was said for what, for the most frequent classes."""
    names = [one.name for one in confusion.classes[:_MATRIX]]
    if len(names) < 2:
        return None
    said = [*names, ""]
    head: list[Child] = [_("label ↓ said →"), *names, _("no class")]
    rows = [[name, *_matrix_cells(confusion, name, said)] for name in names]
    caption = tag("p", _("What was said for what, most frequent classes"), class_="muted")
    return joined(tag("br"), caption, table(head, rows, "matrix"))


def _matrix_cells(confusion: Confusion, name: str, said: Sequence[str]) -> list[Child]:
    counts = confusion.counts.get(name, {})
    total = sum(counts.values()) or 1
    return [_matrix_cell(counts.get(other, 0), total, other == name) for other in said]


def _matrix_cell(count: int, total: int, hit: bool) -> Html:
    if not count:
        return tag("span", "·", class_="none")
    share = round(100 * count / total)
    colour = "var(--good)" if hit else "var(--bad)"
    shade = f"background: color-mix(in srgb, {colour} {10 + share // 2}%, transparent)"
    return tag("span", str(count), class_="cell", style=shade)
