"""The numbers of a report as text: with their intervals, in one line or one a line, and why a number may not mean what
one would think."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from core.i18n import _
from core.metrics import shown
from core.metrics.metric import Artefact, Value
from core.untrusted import inert_line
from tui.widgets.content_layout import wrapped
from tui.widgets.report_columns import value_text

_FIRST = ("reward", "accuracy", "margin", "exact_match", "macro_f1", "bleu-4", "rouge-1", "rouge-2", "rouge-l")


@dataclass(frozen=True, slots=True)
class MetricFace:
    """How a metric is shown."""

    title: str
    percent: bool
    help: str = ""


def face_of(name: str) -> MetricFace:
    """A metric by its name; one that is not in the table is a number of somebody's own."""
    known = shown.described(name)
    return MetricFace(inert_line(known.title), known.unit == "percent", known.help)


def interval_text(value: Value, *, percent: bool) -> str:
    """`84.0 [76.0, 91.0]`; the interval alone where there is one."""
    middle = value_text(value.value, percent=percent)
    if value.low is None or value.high is None:
        return middle
    return f"{middle} [{value_text(value.low, percent=percent)}, {value_text(value.high, percent=percent)}]"


def numbers_lines(values: Mapping[str, Value], width: int, most: int) -> list[Content]:
    """The metrics with their intervals in at most so many lines, those that most people look for first; where there is
    one line alone, most go without their interval."""
    names = [*(name for name in _FIRST if name in values), *(name for name in values if name not in _FIRST)]
    lines = [Content("")]
    for name in names:
        part = _number(name, values[name], interval=most > 1 or name == names[0])
        joined = Content("   ").join([lines[-1], part]) if lines[-1].plain else part
        if joined.cell_length <= width:
            lines[-1] = joined
        elif len(lines) < most:
            lines.append(part)
        else:
            break
    return lines


def _number(name: str, value: Value, *, interval: bool) -> Content:
    face = face_of(name)
    whole = interval_text(value, percent=face.percent)
    middle, _bracket, rest = whole.partition(" ")
    return Content.assemble(
        (f"{face.title} ", "$muted"), (middle, "bold"), (f" {rest}" if rest and interval else "", "$muted")
    )


def _whole(name: str, value: Value) -> str:
    ends = shown.interval_text(value, name)
    return shown.number_text(value.value, name) + (f" [{ends}]" if ends else "")


def numbers_content(values: Mapping[str, Value], width: int) -> Content:
    """All metrics, one a line: the value, its interval, its rows, and what it is."""
    faces = {name: face_of(name) for name in values}
    title_cells = max((Content(face.title).cell_length for face in faces.values()), default=0)
    texts = {name: _whole(name, value) for name, value in values.items()}
    text_cells = max(map(len, texts.values()), default=0)
    lines = []
    for name, value in values.items():
        face = faces[name]
        title = Content(face.title).pad_right(title_cells - Content(face.title).cell_length)
        more = [f"n={value.n:,}"]
        if value.spread is not None:
            more.append(_("± {spread} over repeats").format(spread=value_text(value.spread, percent=face.percent)))
        more.append(face.help)
        line = Content.assemble(
            title, "  ", (f"{texts[name]:<{text_cells}}", "bold"), "  ", (" · ".join(more), "$muted")
        )
        lines.append(line.truncate(max(1, width), ellipsis=True))
    return Content("\n").join(lines)


def artefacts_line(artefacts: Sequence[Artefact], notes: Sequence[str], width: int) -> Content:
    """The first of what is to be known, and how much more there is."""
    told = [*(each.message for each in artefacts), *notes]
    if not told:
        return Content("")
    more = "  " + _("+{count}, i shows all").format(count=len(told) - 1) if len(told) > 1 else ""
    first = Content.assemble(("! ", "$text-warning"), inert_line(told[0]))
    return Content.assemble(first.truncate(max(1, width - len(more)), ellipsis=True), (more, "$muted"))


def artefacts_content(artefacts: Sequence[Artefact], notes: Sequence[str], width: int) -> Content:
    """Everything that is to be known."""
    told = [*(each.message for each in artefacts), *notes]
    rows = [row for text in told for row in wrapped(Content.assemble(("! ", "$text-warning"), inert_line(text)), width)]
    return Content("\n").join(rows)
