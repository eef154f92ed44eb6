"""One chart as rows of cells: a title with values, curves in braille, round numbers at both axes.

No widget: texts and style names in, rows out, so that a widget can tell which cells have changed.
Colour is never the only thing that tells curves apart: where there are several, each ends in its letter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from core.runs.curve import Slice
from tui.charts.axes import Scale, number_text, value_scale
from tui.charts.braille import FULL, Canvas
from tui.charts.tracing import Tracing
from tui.series import Column, nearest

COLOURS = 6
_GUTTER = 8
_NEAR = 0.4
"""The share of a level from which on it is in view."""
_ROWS_WITH_STEPS = 6
"""From this height on a chart tells the steps below it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A run's curve in a chart."""

    letter: str
    """Empty where there is only one."""
    colour: int
    points: Sequence[Slice]


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at, shared by the charts beside each other."""

    first: float = 0
    last: float = 1
    log: bool = False
    smooth: bool = False
    crosshair: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of single cells."""

    characters: list[str]
    styles: list[str]


@dataclass(frozen=True, slots=True)
class Chart:
    """A metric of one or more runs."""

    title: str
    traces: Sequence[Trace]
    current: bool = False
    """Whether the keys are about this one."""
    level: float | None = None
    """A value to be held against: a line across, from where the curves come near it."""


class Plot:
    """Draws a chart again and again, as its curves grow."""

    def __init__(self) -> None:
        self._tracings: list[Tracing] = []

    def draw(self, chart: Chart, view: View, width: int, height: int) -> list[Row]:
        """The chart in exactly so many cells."""
        steps = 1 if height >= _ROWS_WITH_STEPS else 0
        rows, across = height - 1 - steps, max(1, width - _GUTTER - 1)
        while len(self._tracings) < len(chart.traces):
            self._tracings.append(Tracing())
        traced = list(zip(chart.traces, self._tracings, strict=False))
        curves = [_Curve.of(trace, tracing, view, across) for trace, tracing in traced]
        title = _title(chart, curves, view, width)
        if rows < 1 or across < 4:
            return [title, *_blank(width, height - 1)][: max(height, 0)]
        scale = _scale(curves, view, across, chart.level)
        body = [Row(characters, styles) for characters, styles in _painted(curves, view, scale, across, rows).rows()]
        _draw_level(body, scale, chart.level)
        _draw_crosshair(body, view, across)
        for curve in curves:
            _mark_end(body, curve, scale)
        labels = _value_labels(scale, rows)
        framed = [_framed(row, labels.get(number)) for number, row in enumerate(body)]
        return [title, *framed, *([_step_row(view, width, across)] if steps else [])]


def draw(chart: Chart, view: View, width: int, height: int) -> list[Row]:
    """A chart that is drawn once, in exactly so many cells."""
    return Plot().draw(chart, view, width, height)


def _painted(curves: Sequence[_Curve], view: View, scale: Scale, across: int, rows: int) -> Canvas:
    canvas = Canvas(across, rows)
    for curve in curves:
        style = f"raw-{curve.colour}" if view.smooth else f"line-{curve.colour}"
        canvas.paint(curve.tracing.raw_dots(scale, across, rows), style)
    for curve in curves if view.smooth else ():
        canvas.paint(curve.tracing.main_dots(scale, across, rows), f"line-{curve.colour}")
    return canvas


def _scale(curves: Sequence[_Curve], view: View, across: int, level: float | None) -> Scale:
    inside = [column for curve in curves for column in curve.raw if 0 <= column.x < 2 * across]
    values = [value for column in inside for value in (column.low, column.high)]
    highest = max((value for value in values if math.isfinite(value)), default=-math.inf)
    if level is not None and highest >= _NEAR * level:  # further away it would press the curve flat
        values.append(level)
    return value_scale(values, log=view.log)


def _blank(width: int, height: int) -> list[Row]:
    return [Row([" "] * width, [""] * width) for _row in range(height)]


@dataclass(frozen=True, slots=True)
class _Curve:
    """A trace as it is looked at; `main` is the smoothed one where smoothing is on."""

    letter: str
    colour: int
    tracing: Tracing
    raw: Sequence[Column]
    main: Sequence[Column]
    told: str
    """The value in the chart's title, and the smoothed one, for where there is room."""
    told_smooth: str

    @classmethod
    def of(cls, trace: Trace, tracing: Tracing, view: View, across: int) -> _Curve:
        per_step = _dots_per_step(view, across)
        seen = tracing.look(trace.points, view.first, view.last, per_step, smooth=view.smooth)
        told = _told(seen.points, seen.means, view)
        return cls(trace.letter, trace.colour % COLOURS, tracing, seen.raw, seen.main, *told)


def _told(points: Sequence[Slice], means: Sequence[float] | None, view: View) -> tuple[str, str]:
    """The value at the crosshair, else the last one; and the smoothed one."""
    if view.crosshair is None:
        index = next((i for i in range(len(points) - 1, -1, -1) if math.isfinite(points[i].mean)), None)
    else:
        index = nearest(points, view.crosshair)
    if index is None:
        return "", ""
    found = points[index]
    told = number_text(found.mean)
    if found.high > found.low and view.crosshair is not None:
        told += f" [{number_text(found.low)}…{number_text(found.high)}]"
    return told, "" if means is None else f" ~{number_text(means[index])}"


def _dots_per_step(view: View, across: int) -> float:
    return (2 * across - 1) / ((view.last - view.first) or 1)


# --- the title --------------------------------------------------------------------------------------------------


def _title(chart: Chart, curves: Sequence[_Curve], view: View, width: int) -> Row:
    name_style = "current" if chart.current else "title"
    parts = [(("▸" if chart.current else " ") + chart.title, name_style)]
    values = [(curve, curve.told) for curve in curves if curve.told]
    room = width - cell_len(parts[0][0]) - sum(len(f"  {curve.letter} {told}") for curve, told in values)
    if room >= sum(len(curve.told_smooth) for curve, _told in values):
        values = [(curve, told + curve.told_smooth) for curve, told in values]
    for curve, told in values:
        letter = f"{curve.letter} " if curve.letter else ""
        parts += [("  ", ""), (letter + told, f"line-{curve.colour}")]
    return _row(parts, width)


def _row(parts: Sequence[tuple[str, str]], width: int) -> Row:
    """Styled texts as a row; one that is too long is cut, one that is short is filled up."""
    characters: list[str] = []
    styles: list[str] = []
    for text, style in parts:
        for character in text:
            cells = cell_len(character)
            if len(characters) + cells > width:
                break
            if cells == 1:
                characters.append(character)
                styles.append(style)
            elif cells == 2:  # the second cell of a wide character holds nothing
                characters += [character, ""]
                styles += [style, style]
    missing = width - len(characters)
    return Row(characters + [" "] * missing, styles + [""] * missing)


# --- the curves -------------------------------------------------------------------------------------------------


def _mark_end(body: list[Row], curve: _Curve, scale: Scale) -> None:
    """The curve's last point, with its letter where there are several curves."""
    across = len(body[0].characters)
    for column in reversed(curve.main):
        fraction = scale.fraction(column.value)
        row = -1 if math.isnan(fraction) else round((1 - fraction) * (4 * len(body) - 1)) // 4
        if 0 <= round(column.x) < 2 * across and 0 <= row < len(body):  # a smoothed curve may lie outside
            body[row].characters[round(column.x) // 2] = curve.letter or FULL
            body[row].styles[round(column.x) // 2] = f"mark-{curve.colour}"
            return


def _draw_level(body: list[Row], scale: Scale, level: float | None) -> None:
    fraction = scale.fraction(level) if level is not None else math.nan
    if not 0 <= fraction <= 1:
        return
    row = body[round((1 - fraction) * (4 * len(body) - 1)) // 4]
    for column, character in enumerate(row.characters):
        if character == " ":
            row.characters[column], row.styles[column] = "╌", "crosshair"


def _draw_crosshair(body: list[Row], view: View, across: int) -> None:
    if view.crosshair is None or not view.first <= view.crosshair <= view.last:
        return
    column = round((view.crosshair - view.first) * _dots_per_step(view, across)) // 2
    for row in body:
        if row.characters[column] == " ":
            row.characters[column] = "│"
        row.styles[column] = row.styles[column] or "crosshair"


# --- the axes ---------------------------------------------------------------------------------------------------


def _value_labels(scale: Scale, rows: int) -> dict[int, str]:
    """The texts at the left, by row."""
    found: dict[int, str] = {}
    ticks = scale.ticks(max(2, rows // 2))
    for value in ticks if len(ticks) > 1 else (scale.high, scale.low):
        row = round((1 - scale.fraction(value)) * (4 * rows - 1)) // 4
        found.setdefault(min(max(row, 0), rows - 1), number_text(value if abs(value) > 1e-12 else 0.0))
    return found


def _framed(row: Row, label: str | None) -> Row:
    text = (label or "").rjust(_GUTTER - 1)[-_GUTTER + 1 :] + ("┤" if label else "│")
    return Row([*text, *row.characters, " "], ["axis"] * _GUTTER + row.styles + [""])


def _step_row(view: View, width: int, across: int) -> Row:
    cells = [" "] * width
    scale = Scale(view.first, view.last)
    free = 0
    ticks = [value for value in scale.ticks(max(2, across // 9)) if value == round(value)]  # there is no half step
    for value in ticks if len(ticks) > 1 else (view.first, view.last):
        text = f"{value:.0f}" if abs(value) < 1e6 else number_text(value)
        start = _GUTTER + round(scale.fraction(value) * (across - 1)) - len(text) // 2
        start = min(max(start, free), width - len(text))
        if start >= free:
            cells[start : start + len(text)] = text
            free = start + len(text) + 1
    return Row(list(set_cell_size("".join(cells), width)), ["axis"] * width)
