"""Several reports of one set on a page: their numbers, the differences with paired intervals, and the rows behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.i18n import _, plural
from core.metrics.shown import interval_text, number_text, signed_text
from core.report.compare import Comparison
from core.report.comparison_words import CHANGES, change_word, mcnemar_text, signed_interval
from core.report.difference import difference
from core.report.figures import heading, is_percent
from core.report.page.answers import cut, piece, side
from core.report.page.charts import delta_whisker
from core.report.page.markup import Child, Html, joined, section, table, tag
from core.report.paired import Against, Delta
from core.report.questions import question_text

_ROWS, _MOST_ROWS = 30, 500
_MOST_TEXT = 3_000


def fairness(compared: Comparison) -> Html:
    """Why the comparison may be unfair; nothing where it is not."""
    if not compared.warnings:
        return Html("")
    listed = tag("ul", *(tag("li", text) for text in compared.warnings))
    return tag("div", tag("h2", _("Before you believe these numbers")), listed, class_="notes")


def side_by_side(compared: Comparison) -> Html:
    """Every metric of every report; the best is marked."""
    head: list[Child] = [_("metric"), *compared.names, "n"]
    rows: list[list[Child]] = []
    for name, values in compared.values.items():
        cells: list[Child] = []
        for at, value in enumerate(values):
            number = number_text(value.value, name)
            best = compared.best[name] == at
            shown = tag("strong", number, " ★") if best else Html(number)
            cells.append(joined(shown, tag("span", interval_text(value, name), class_="help")))
        rows.append([heading(name), *cells, f"{values[0].n:,}"])
    return section(_("Numbers"), table(head, rows, "numbers"), note=_("★ the best; 95 % intervals below the values"))


def differences(compared: Comparison, by: str) -> list[Html]:
    """Each report against the first one; rows are counted by the metric `by`."""
    return [_against(compared, against, by) for against in compared.against]


def _against(compared: Comparison, against: Against, by: str) -> Html:
    name, baseline = compared.names[against.number], compared.names[0]
    head: list[Child] = [_("metric"), _("difference"), "", _("95 % interval"), "", _("improved"), _("regressed")]
    most = max((abs(end) for delta in against.deltas.values() for end in _ends(delta)), default=1.0)
    rows = [_delta_row(delta, most) for delta in against.deltas.values()]
    counts = Counter(compared.changes(against.number, by))
    told = ", ".join(f"{counts[change]} {change_word(change)}" for change in CHANGES)
    tested = mcnemar_text(compared, against)
    return section(
        _("{name} against {baseline}").format(name=name, baseline=baseline),
        tag("p", f"{heading(by)}: {told}"),
        tag("p", tested, class_="muted") if tested else None,
        table(head, rows, "numbers"),
    )


def _ends(delta: Delta) -> Sequence[float]:
    if not is_percent(delta.metric):
        return ()
    return [end for end in (delta.delta, delta.low, delta.high) if end is not None]


def _delta_row(delta: Delta, most: float) -> list[Child]:
    name = delta.metric
    line = delta_whisker(delta.delta, delta.low, delta.high, most) if is_percent(name) else None
    return [
        heading(name),
        tag("strong", signed_text(delta.delta, name)),
        line,
        signed_interval(delta),
        certainty(delta),
        f"{delta.improved:,}",
        f"{delta.regressed:,}",
    ]


def certainty(delta: Delta) -> Html | str:
    """What the interval allows one to say."""
    if delta.low is None or delta.high is None:
        return ""
    if delta.low <= 0 <= delta.high:
        return tag("span", _("may be chance"), class_="none")
    if delta.better is None:
        return tag("span", _("differs"), class_="tag")
    return tag("span", _("better"), class_="tag right") if delta.better else tag("span", _("worse"), class_="tag wrong")


# --- rows -----------------------------------------------------------------------------------------------------------


def changed_rows(compared: Comparison, by: str) -> list[Html]:
    """Rows that became better and worse by a metric, with what every model answered."""
    sections = []
    for against in compared.against:
        changes = compared.changes(against.number, by)
        for change in ("improved", "regressed"):
            rows = [at for at, found in enumerate(changes) if found == change]
            title = f"{compared.names[against.number]}: {change_word(change)}"
            sections.append(_rows(compared, title, rows, _ROWS))
    return sections


def chosen_rows(compared: Comparison, rows: Sequence[int]) -> Html:
    """Rows that somebody chose, five hundred at most."""
    return _rows(compared, plural("{count} row", "{count} rows", len(rows)), rows, _MOST_ROWS)


def _rows(compared: Comparison, title: str, rows: Sequence[int], most: int) -> Html:
    more = len(rows) - most
    note = plural("{count} more is left out", "{count} more are left out", more) if more > 0 else ""
    return section(title, *(_row(compared, at) for at in rows[:most]), note=note)


def _row(compared: Comparison, position: int) -> Html:
    rows = compared.predictions(position)
    first = rows[0]
    answers = [
        _answer(name, first.label, row.predict, row.error) for name, row in zip(compared.names, rows, strict=True)
    ]
    return tag(
        "article",
        tag("header", tag("span", f"#{first.row + 1}", class_="number"), tag("span", first.id, class_="score")),
        tag("div", cut(question_text(first.prompt), _MOST_TEXT), class_="asked"),
        tag("div", side(_("reference"), cut(first.label)), *answers, class_="sides"),
        class_="row",
    )


def _answer(name: str, label: str, predict: str, error: str) -> Html:
    if error:
        return side(name, tag("span", error[:_MOST_TEXT], class_="none"))
    pieces = difference(label[:_MOST_TEXT], predict[:_MOST_TEXT])
    shown = [piece(each.kind, each.text) for each in pieces if each.kind != "removed"]
    return side(name, *shown, cut(predict[_MOST_TEXT:], 0) if len(predict) > _MOST_TEXT else None)
