"""Curves drawn with the characters of a terminal: the Train screen's chart, on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from core.errors import RunError, did_you_mean
from core.i18n import _
from core.runs.catalog import run_name
from core.runs.history import History
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.charts.plot import Chart, Trace, View, draw

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def chart_lines(
    histories: Sequence[History],
    metric: str,
    workspace: Workspace,
    width: int,
    height: int,
    *,
    smooth: bool = False,
    log: bool = False,
) -> Iterator[str]:
    """One chart of a metric, and which letter is which run.

    Raises:
        RunError: no run has that metric.
    """
    letters = _LETTERS if len(histories) > 1 else [""]
    traces = [
        Trace(letters[number % len(letters)], number, history.curves[metric].slices)
        for number, history in enumerate(histories)
        if metric in history.curves
    ]
    points = [point for trace in traces for point in trace.points]
    if not points:
        known = sorted({name for history in histories for name in history.curves})
        hint = did_you_mean(metric, known) or _("there are: {names}").format(names=", ".join(known) or _("none yet"))
        raise RunError(_("there is no curve {name}").format(name=inert_line(metric)), inert_line(hint))
    first, last = min(point.first for point in points), max(point.last for point in points)
    view = View(first, max(last, first + 1), log, smooth)
    for row in draw(Chart(metric, traces), view, max(width, 20), max(height, 6)):
        yield inert_line("".join(row.characters)).rstrip()
    for number, history in enumerate(histories if len(histories) > 1 else ()):
        yield f"{letters[number % len(letters)]}  {inert_line(run_name(history.run, workspace))}"


def curve_record(history: History, metric: str, workspace: Workspace) -> dict[str, Any]:
    """A curve for `--json`: [step, value] pairs; long ones folded, each value a mean then."""
    curve = history.curves.get(metric)
    points = [[point.last, None if point.mean != point.mean else point.mean] for point in curve.slices] if curve else []
    return {"run": run_name(history.run, workspace), "metric": metric, "points": points}
