"""Small drawings as SVG inside the page; their colours come from its style, so that they fit light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from core.i18n import _, plural
from core.report.page.markup import Html, tag

Point: TypeAlias = tuple[float, float]

_BINS = 10
_WIDTH, _HEIGHT = 420, 150
_LEFT, _BOTTOM, _TOP, _MARGIN = 44, 22, 8, 14


def whisker(value: float, low: float | None, high: float | None, most: float = 100.0) -> Html:
    """A value on the scale from 0, with its interval as a line."""
    width, height, middle = 220, 18, 9

    def place(number: float) -> float:
        return round(4 + (width - 8) * min(max(number / most, 0.0), 1.0), 1)

    parts = [tag("line", x1=4, y1=middle, x2=width - 4, y2=middle, class_="axis")]
    parts += [tag("line", x1=place(at), y1=6, x2=place(at), y2=12, class_="axis") for at in (0, most / 2, most)]
    if low is not None and high is not None:
        parts.append(tag("line", x1=place(low), y1=middle, x2=place(high), y2=middle, class_="range"))
        parts += [tag("line", x1=place(end), y1=4, x2=place(end), y2=14, class_="range") for end in (low, high)]
    parts.append(tag("circle", cx=place(value), cy=middle, r=4, class_="point"))
    return _drawing(width, height, f"{value:.2f}", *parts, inline=True)


def delta_whisker(value: float, low: float | None, high: float | None, most: float) -> Html:
    """A difference beside 0, which stands in the middle, with its interval as a line."""
    width, height, middle = 220, 18, 9

    def place(number: float) -> float:
        return round(width / 2 + (width / 2 - 6) * min(max(number / (most or 1.0), -1.0), 1.0), 1)

    parts = [tag("line", x1=4, y1=middle, x2=width - 4, y2=middle, class_="axis")]
    parts.append(tag("line", x1=width / 2, y1=1, x2=width / 2, y2=17, class_="axis"))
    if low is not None and high is not None:
        parts.append(tag("line", x1=place(low), y1=middle, x2=place(high), y2=middle, class_="range"))
        parts += [tag("line", x1=place(end), y1=4, x2=place(end), y2=14, class_="range") for end in (low, high)]
    parts.append(tag("circle", cx=place(value), cy=middle, r=4, class_="point"))
    return _drawing(width, height, f"{value:+.2f}", *parts, inline=True)


def histogram(values: Sequence[float]) -> Html:
    """How many rows have which score from 0 to 100, in ten columns."""
    counts = [0] * _BINS
    for value in values:
        counts[min(max(int(value * _BINS / 100), 0), _BINS - 1)] += 1
    tallest, width = max(counts) or 1, (_WIDTH - 2 * _MARGIN) / _BINS
    parts: list[Html] = []
    for at, count in enumerate(counts):
        height = (_HEIGHT - _BOTTOM - _TOP - 12) * count / tallest
        x, y = _MARGIN + at * width, _HEIGHT - _BOTTOM - height
        told = plural("{count} row", "{count} rows", count)
        name = tag("title", f"{at * 10} – {at * 10 + 10}: {told}")
        box = {"x": round(x + 2, 1), "y": round(y, 1), "width": round(width - 4, 1), "height": round(height, 1)}
        parts.append(tag("rect", name, rx=2, class_="bar", **box))
        if count:
            parts.append(tag("text", str(count), x=round(x + width / 2, 1), y=round(y - 4, 1), text_anchor="middle"))
    parts += [_label(str(at), _MARGIN + at * width / 10, _HEIGHT - 6, "middle") for at in (0, 50, 100)]
    base = _HEIGHT - _BOTTOM
    parts.append(tag("line", x1=_MARGIN, y1=base, x2=_WIDTH - _MARGIN, y2=base, class_="axis"))
    return _drawing(_WIDTH, _HEIGHT, _("histogram"), *parts)


def bar(count: int, most: int, kind: str = "") -> Html:
    """A count as a length."""
    width = round(260 * count / max(most, 1), 1)
    track = tag("rect", x=0, y=3, width=260, height=10, rx=5, class_="track")
    filled = tag("rect", x=0, y=3, width=max(width, 3.0), height=10, rx=5, class_=f"bar {kind}".strip())
    return _drawing(260, 16, str(count), track, filled, inline=True)


def curves(smooth: Sequence[Point], raw: Sequence[Point] = (), dots: Sequence[Point] = ()) -> Html:
    """A curve over its raw points, and another one's few points."""
    every = [point for point in (*smooth, *raw, *dots) if math.isfinite(point[1])]
    if not every:
        return Html("")
    left, right = min(x for x, _y in every), max(x for x, _y in every)
    low, high = min(y for _x, y in every), max(y for _x, y in every)
    wide, tall = max(right - left, 1e-9), max(high - low, abs(high) * 1e-3, 1e-9)

    def placed(points: Sequence[Point]) -> list[Point]:
        inner_width, inner_height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP
        return [
            (
                round(_LEFT + inner_width * (x - left) / wide, 1),
                round(_TOP + inner_height * (1 - (y - low) / tall), 1),
            )
            for x, y in points
            if math.isfinite(y)
        ]

    base = _HEIGHT - _BOTTOM
    parts = [tag("line", x1=_LEFT, y1=base, x2=_WIDTH - 8, y2=base, class_="axis")]
    parts += [tag("line", x1=_LEFT, y1=_TOP, x2=_LEFT, y2=base, class_="axis")]
    parts += [_label(f"{high:.3g}", _LEFT - 6, _TOP + 8, "end"), _label(f"{low:.3g}", _LEFT - 6, base, "end")]
    parts += [_label(f"{left:g}", _LEFT, _HEIGHT - 6, "start"), _label(f"{right:g}", _WIDTH - 8, _HEIGHT - 6, "end")]
    if raw:
        parts.append(_line(placed(raw), "curve raw"))
    parts.append(_line(placed(smooth), "curve"))
    if len(dots) > 1:
        parts.append(_line(placed(dots), "curve second"))
    parts += [tag("circle", cx=x, cy=y, r=3, class_="dot") for x, y in placed(dots)]
    return _drawing(_WIDTH, _HEIGHT, _("training curve"), *parts)


def _line(points: Sequence[Point], style: str) -> Html:
    return tag("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points), class_=style)


def _label(told: str, x: float, y: float, anchor: str) -> Html:
    return tag("text", told, x=round(x, 1), y=round(y, 1), text_anchor=anchor)


def _drawing(width: int, height: int, name: str, *parts: Html, inline: bool = False) -> Html:
    size = {"width": width, "height": height} if inline else {"width": "100%"}
    return tag("svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=name, **size)
