"""Curves: what is drawn where, what a gap, a single point and a flat line look like, and what is sent for a change."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from unittest.mock import Mock

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from core.runs.curve import Curve as Points
from core.runs.curve import Slice
from tui.charts import tracing
from tui.charts.axes import Scale, number_text, step_range, value_scale
from tui.charts.braille import Canvas, Dots
from tui.charts.plot import Chart, Plot, Row, Trace, View, draw
from tui.series import _one_by_one, columns, nearest, single, smoothed, smoothing_weight, sparkline
from tui.widgets.curve import Curve


def rows(chart: Chart, view: View, width: int = 40, height: int = 10) -> list[Row]:
    return draw(chart, view, width, height)


def texts(chart: Chart, view: View, width: int = 40, height: int = 10) -> list[str]:
    return ["".join(row.characters) for row in rows(chart, view, width, height)]


def one(*values: float, letter: str = "") -> Trace:
    return Trace(letter, 0, [single(step, value) for step, value in enumerate(values)])


def dotted(lines: list[str]) -> list[int]:
    """The columns that have a dot or a mark, below the title and above the steps."""
    return sorted({x for line in lines[1:-1] for x, character in enumerate(line) if "\u2801" <= character <= "\u28ff"})


# --- smoothing: LLaMA-Factory's numbers --------------------------------------------------------------------------


def test_the_smoothing_is_llama_factorys() -> None:
    assert smoothing_weight(4) == pytest.approx(0.089701, abs=1e-6)
    for count, weight in ((1, 0.0225), (10, 0.2204), (50, 0.7635), (250, 0.9)):
        assert smoothing_weight(count) == pytest.approx(weight, abs=5e-5)
    assert smoothed([single(i, value) for i, value in enumerate([4.0, 3.0, 2.0, 1.0])]) == pytest.approx(
        [4, 3.08970, 2.09775, 1.09847], abs=1e-5
    )


def test_gaps_stay_gaps_and_folded_points_count_as_many() -> None:
    gap = smoothed([single(0, 2.0), single(1, math.nan), single(2, 1.0)])
    assert math.isnan(gap[1])
    assert gap[2] == pytest.approx(1 + smoothing_weight(3))
    unfolded = smoothed([single(0, 3.0), *(single(step, 1.0) for step in range(1, 9))])
    folded = smoothed([single(0, 3.0), Slice(1, 8, 1.0, 1.0, 1.0, 8)])
    assert folded[-1] == pytest.approx(unfolded[-1])


def test_many_points_become_the_same_columns_by_both_ways() -> None:
    points = [Slice(step, step + 2, step % 7 - 1.0, step % 7 + 1.0, float(step % 7), 3) for step in range(0, 3000, 3)]
    for means in (None, smoothed(points)):
        values = [point.mean for point in points] if means is None else means
        for first, per_step in ((0.0, 0.03), (100.0, 0.05), (-50.0, 0.7)):
            slow = _one_by_one(points, values, first, per_step, whole=means is None)
            assert columns(points, first, per_step, means) == slow


# --- drawing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(120, 40), (40, 10), (20, 3), (9, 2), (4, 1), (0, 0)])
def test_a_chart_fills_exactly_its_cells(size: tuple[int, int]) -> None:
    drawn = rows(Chart("通义 loss", [one(3, 2, 1)]), View(0, 2, smooth=True, crosshair=1), *size)
    assert len(drawn) == size[1]
    assert {len(row.characters) for row in drawn} <= {size[0]}
    assert all(len(row.characters) == len(row.styles) for row in drawn)


def test_a_falling_curve_begins_high_and_ends_low() -> None:
    lines = texts(Chart("loss", [one(*range(100, 0, -1))]), View(0, 99))
    first = next(y for y, line in enumerate(lines[1:]) if "\u2800" < line[8] <= "\u28ff")
    last = next(y for y, line in enumerate(lines[1:]) if line[38] == "\u28ff")
    assert first < 2
    assert last > 5
    assert dotted(lines) == list(range(8, 39))
    assert lines[0].startswith(" loss  1 ")


def test_nan_leaves_a_gap() -> None:
    values = [1.0 + step for step in range(30)]
    values[10:20] = [math.nan] * 10
    columns = dotted(texts(Chart("loss", [one(*values)]), View(0, 29)))
    assert 8 in columns
    assert 38 in columns
    assert not set(range(20, 26)) & set(columns)


@pytest.mark.parametrize("values", [[0.5], [math.nan, 0.5, math.nan], [0.0], [-3.0]])
def test_a_single_point_is_visible(values: list[float]) -> None:
    assert "\u28ff" in "".join(texts(Chart("loss", [one(*values)]), View(0, 2)))


def test_nothing_to_draw_is_no_error() -> None:
    for values in ([], [math.nan, math.nan]):
        assert dotted(texts(Chart("loss", [one(*values)]), View(0, 1, smooth=True, log=True, crosshair=0))) == []


def test_a_flat_curve_is_a_line() -> None:
    lines = texts(Chart("loss", [one(*[7.0] * 50)]), View(0, 49))
    assert sum("\u2801" <= line[20] <= "\u28ff" for line in lines) == 1


def test_a_spike_of_one_step_among_a_hundred_thousand_is_seen() -> None:
    points = Points()
    for step in range(100_000):
        points.add(step, 9.0 if step == 60_000 else 1.0)
    lines = texts(Chart("loss", [Trace("", 0, points.slices)]), View(0, 99_999))
    top = [x for x, character in enumerate(lines[1]) if "\u2801" <= character <= "\u28ff"]
    assert top == [8 + round(31 * 0.6)] or top == [8 + round(31 * 0.6) - 1]


def test_several_runs_are_told_apart_without_colour() -> None:
    falling, rising = one(5, 4, 3, 2, letter="A"), Trace("B", 1, [single(i, float(i)) for i in range(4)])
    drawn = rows(Chart("loss", [falling, rising]), View(0, 3))
    title = "".join(drawn[0].characters)
    assert "A 2" in title
    assert "B 3" in title
    body = "".join("".join(row.characters) for row in drawn[1:])
    assert "A" in body
    assert "B" in body
    assert {"line-0", "line-1", "mark-0", "mark-1"} <= {style for row in drawn for style in row.styles}


def test_smoothing_lies_over_the_raw_curve() -> None:
    wild = one(*(1.0 + step % 2 for step in range(60)))
    drawn = rows(Chart("loss", [wild]), View(0, 59, smooth=True))
    styles = {style for row in drawn for style in row.styles}
    assert {"raw-0", "line-0"} <= styles
    assert "~1." in "".join(drawn[0].characters)


def test_a_logarithmic_axis_makes_a_straight_line_of_a_decay() -> None:
    scale = value_scale([10.0**-n for n in range(5)], log=True)
    fractions = [scale.fraction(10.0**-n) for n in range(5)]
    steps = {round(a - b, 6) for a, b in itertools.pairwise(fractions)}
    assert steps == {0.25}
    assert math.isnan(scale.fraction(0.0))
    assert scale.ticks(5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_a_margin_that_began_below_zero_keeps_its_beginning_beside_logarithmic_charts() -> None:
    scale = value_scale([-0.5, 0.0, 2.0], log=True)
    assert not scale.log
    assert 0 <= scale.fraction(-0.5) < scale.fraction(0.0) < scale.fraction(2.0) <= 1


def test_the_crosshair_tells_the_values_there() -> None:
    lines = texts(Chart("loss", [one(5, 4, 3, 2, 1)]), View(0, 4, crosshair=1))
    assert lines[0].startswith(" loss  4 ")
    assert "│" in lines[6][9:]
    assert nearest([single(0, 1), single(10, 1)], 6) == 1


def test_what_is_zoomed_into_is_the_same_curve() -> None:
    """A point outside decides the line to the edge, not the scale; the smoothed curve is not begun anew."""
    values = [100.0, *[1.0 + step / 100 for step in range(99)]]
    whole, part = View(0, 99, smooth=True), View(50, 99, smooth=True)
    chart = Chart("loss", [one(*values)])
    assert texts(chart, whole)[0] == texts(chart, part)[0]
    assert not any("100" in line[:8] for line in texts(chart, View(50, 99)))


def test_values_and_ranges_as_people_write_them() -> None:
    assert [number_text(v) for v in (0.53214, 5e-5, 12345.0, 0.0, 1.5e-9, math.nan, 1e9)] == [
        "0.5321", "5e-5", "12.3k", "0", "1.5e-9", "NaN", "1e9",
    ]  # fmt: skip
    assert Scale(0, 10).ticks(3) == [0, 5, 10]
    assert step_range(0, 47, 0) == (0, 50)
    assert step_range(0, 98, 100) == (0, 100)
    assert step_range(0, 0, 100) == (0, 1)


def test_strips_show_flat_curves_and_gaps() -> None:
    assert sparkline([single(i, 1.0) for i in range(5)], 12) == "▄▄▄▄▄"
    assert sparkline([single(0, 1.0), single(1, math.nan), single(2, 3.0)], 3) == "▁ █"
    assert sparkline([single(0, math.nan)], 3) == ""
    assert len(sparkline([single(i, float(i)) for i in range(1000)], 12)) == 12


def test_lines_have_no_holes() -> None:
    dots, canvas = Dots(8, 16), Canvas(4, 4)
    dots.line(0, 0, 7, 15)
    canvas.paint(dots, "")
    bits = [ord(character) - 0x2800 for row, _styles in canvas.rows() for character in row if character != " "]
    assert sum(bit.bit_count() for bit in bits) == 16


# --- drawn on ---------------------------------------------------------------------------------------------------


def told(points: Points, step: int, numbers: random.Random) -> int:
    """What a run tells next: points, gaps, a resume now and then; the last step."""
    if numbers.random() < 0.04:
        step = max(0, step - numbers.randrange(1, 60))
        points.cut(step)
    for _point in range(numbers.choice((1, 1, 1, 2, 40))):
        step += numbers.choice((1, 1, 5))
        points.add(step, math.nan if numbers.random() < 0.1 else numbers.gauss(2, 1))
    return step


@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_on_is_what_is_drawn_at_once(seed: int) -> None:
    """Beyond 2,048 points old ones are folded; where a run is resumed, the end is taken back."""
    numbers = random.Random(seed)
    live, curves, steps = Plot(), [Points(), Points()], [0, 0]
    for step in range(2000 if seed % 2 else 0):
        curves[0].add(step, math.nan if seed == 1 and step % 97 == 0 else numbers.gauss(2, 1))
        steps[0] = step
    view, size = View(smooth=True), (50, 12)
    for _look in range(60):
        steps = [told(points, step, numbers) for points, step in zip(curves, steps, strict=True)]
        change, last = numbers.random(), float(max(steps))
        if change < 0.1:
            size = numbers.choice([(50, 12), (31, 7), (50, 2), (90, 20)])
        elif change < 0.2:
            view = replace(view, smooth=not view.smooth, log=numbers.random() < 0.3)
        first = last / 2 if change > 0.9 else 0.0
        view = replace(view, first=first, last=step_range(first, last)[1], crosshair=first if change < 0.05 else None)
        chart = Chart("loss", [Trace("AB"[number], number, points.slices) for number, points in enumerate(curves)])
        assert live.draw(chart, view, *size) == draw(chart, view, *size)


def test_a_point_more_draws_its_own_column_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a point costs does not grow with the run."""
    points, live, view = Points(), Plot(), View(0, 4000, smooth=True)
    for step in range(1500):
        points.add(step, 2.0 - step / 1000)
    live.draw(Chart("loss", [Trace("", 0, points.slices)]), view, 60, 12)
    drawn = Mock(side_effect=tracing._draw_column)
    monkeypatch.setattr(tracing, "_draw_column", drawn)
    points.add(1500, 0.5)
    live.draw(Chart("loss", [Trace("", 0, points.slices)]), view, 60, 12)
    assert 0 < drawn.call_count <= 4


# --- the widget ---------------------------------------------------------------------------------------------------


class Painted(Curve):
    """Notes which cells it asks to be painted."""

    def __init__(self) -> None:
        super().__init__()
        self.painted: list[Region] = []

    def refresh(self, *regions: Region, **options: bool) -> Painted:
        self.painted += regions
        return super().refresh(*regions, **options)


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield Painted()


async def test_only_the_cells_that_changed_are_painted() -> None:
    async with Host().run_test(size=(60, 16)) as pilot:
        curve = pilot.app.query_one(Painted)
        points = [single(step, 2.0 - step / 100) for step in range(100)]
        curve.show(Chart("loss", [Trace("", 0, points)]), View(0, 200))
        await pilot.pause()
        curve.painted.clear()
        curve.show(Chart("loss", [Trace("", 0, points)]), View(0, 200))
        assert curve.painted == []
        curve.show(Chart("loss", [Trace("", 0, [*points, single(100, 1.0)])]), View(0, 200))
        cells = sum(region.area for region in curve.painted)
        assert 0 < cells < 40
        assert "loss  1" in curve.text


async def test_the_themes_colours_are_taken_anew() -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        curve = pilot.app.query_one(Painted)
        curve.show(Chart("loss", [one(3, 2, 1)]), View(0, 2))
        await pilot.pause()
        before = curve.render_line(0)
        pilot.app.theme = "textual-light"
        await pilot.pause()
        assert curve.render_line(0).text == before.text
        assert curve.render_line(0) != before
