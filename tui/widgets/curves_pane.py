"""The curves of one or more runs, a chart for each metric, looked at together: one zoom, one crosshair, one scale.

The first chart is the large one. What is shown is told in a line above: whose letters these are, and how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from core.i18n import _
from core.runs.history import History
from core.untrusted import inert_line
from tui.actions import bindings
from tui.charts.axes import step_range
from tui.charts.plot import COLOURS, Chart, Trace, View
from tui.series import nearest
from tui.widgets.curve import Curve

FIRST_METRICS = ("loss", "eval_loss", "grad_norm", "learning_rate", "tokens_per_second")
_LAST_METRICS = ("rows_per_second",)
_AS_IT_IS = ("learning_rate",)
"""No measurement: smoothing it would only tell it late."""
_UNASKED = ("rows_per_second", "eval_perplexity")
"""They say what another curve says, so they are drawn when they are chosen."""
_ROWS_PER_CHART = 6
_TWO_COLUMNS = 52
_GUTTER = 9


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run whose curves are drawn."""

    name: str
    letter: str
    history: History
    active: bool


def metrics_of(runs: Iterable[ShownRun]) -> list[str]:
    """The metrics that there are, in the order that they are shown: those of every training, of a stage, the rest."""
    there = {name for run in runs for name, curve in run.history.curves.items() if len(curve)}
    evaluations = sorted(name for name in there if name.startswith("eval_"))
    known = [*FIRST_METRICS, *evaluations, *_LAST_METRICS]
    others = sorted(there.difference(known))
    return [name for name in dict.fromkeys([*FIRST_METRICS[:2], *others, *known]) if name in there]


class CurvesPane(Vertical, can_focus=True):
    """Charts, and the keys of a dashboard."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("curves")
    DEFAULT_CSS = """
    CurvesPane { height: 1fr; }
    CurvesPane #curves-legend { height: 1; padding: 0 1; color: $text-muted; }
    CurvesPane Grid { height: 1fr; grid-size: 1; grid-gutter: 0 1; }
    CurvesPane #curves-none { height: 1fr; padding: 1 2; color: $text-muted; display: none; }
    """

    class Drawn(Message):
        """Another way of drawing was chosen, to be remembered."""

    def __init__(self, metrics: Sequence[str] = (), *, smooth: bool = True, log: bool = False) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        """Those that were chosen; none means the first few there are."""
        self._runs: list[ShownRun] = []
        self._view = View(smooth=smooth, log=log)
        self._steps = 0.0
        """How many are looked at; 0: all."""
        self._end: float | None = None
        """The last step looked at; None: the newest."""
        self._current = 0
        self._alone = False

    def compose(self) -> ComposeResult:
        yield Static(Content(""), id="curves-legend")
        yield Grid()
        yield Static(Content(""), id="curves-none")

    # --- what is shown ---

    def show(self, runs: Sequence[ShownRun], waiting: str = "") -> None:
        """Draw these runs as far as they have come.

        Args:
            waiting: said where there is nothing to draw yet.
        """
        if [run.name for run in runs] != [run.name for run in self._runs]:
            self._view = replace(self._view, crosshair=None)
            self._steps, self._end = 0.0, None
        self._runs = list(runs)
        none = self.query_one("#curves-none", Static)
        if none.content != Content(waiting):
            none.update(Content(waiting))
        none.display = not self._all_metrics()
        self.query_one(Grid).display = not none.display
        self._draw()

    @property
    def view(self) -> View:
        return self._view

    @property
    def runs(self) -> Sequence[ShownRun]:
        return self._runs

    def _all_metrics(self) -> list[str]:
        there = metrics_of(self._runs)
        chosen = [name for name in there if name in self.metrics]
        return chosen or [name for name in there if name not in _UNASKED]

    def _shown_metrics(self) -> list[str]:
        """The metrics that there is room for."""
        names = self._all_metrics()
        if not names:
            return []
        self._current = min(self._current, len(names) - 1)
        if self._alone:
            return [names[self._current]]
        across = self._across
        rows = max(1, (self.size.height - 1) // _ROWS_PER_CHART)
        room = rows if across == 1 else 1 + 2 * max(0, rows - 2)
        if self._current < room:
            return names[:room]
        return [*names[: room - 1], names[self._current]]

    @property
    def _across(self) -> int:
        return 2 if self.size.width >= _TWO_COLUMNS else 1

    def _draw(self) -> None:
        names = self._shown_metrics()
        if not names or not self.size.width:
            self._tell_legend([])
            return
        self._view = replace(self._view, first=self._range[0], last=self._range[1])
        curves = self._laid_out(len(names))
        current = self._all_metrics()[self._current]
        for curve, name in zip(curves, names, strict=True):
            view = replace(self._view, smooth=False) if name in _AS_IT_IS else self._view
            curve.show(Chart(name, list(self._traces(name)), self.has_focus and name == current), view)
        self._tell_legend(names)

    def _laid_out(self, count: int) -> list[Curve]:
        """So many charts in their places."""
        grid = self.query_one(Grid)
        curves = list(grid.query(Curve))
        while len(curves) > count:
            curves.pop().remove()
        while len(curves) < count:
            curves.append(Curve())
            grid.mount(curves[-1])
        across = 1 if count == 1 else self._across
        grid.styles.grid_size_columns = across
        grid.styles.grid_rows = "1fr" if across == 1 else "3fr 2fr"
        for number, curve in enumerate(curves):
            last_alone = number == count - 1 and (count - 1) % 2 == 1
            curve.styles.column_span = across if number == 0 or last_alone else 1
        return curves

    def _traces(self, metric: str) -> Iterable[Trace]:
        several = len(self._runs) > 1
        for number, run in enumerate(self._runs):
            curve = run.history.curves.get(metric)
            if curve is not None:
                yield Trace(run.letter if several else "", number % COLOURS, curve.slices)

    @property
    def _whole(self) -> tuple[float, float]:
        """The steps of all runs, up to a round number while one of them goes on."""
        ends = [curve.slices[-1].last for run in self._runs for curve in run.history.curves.values() if len(curve)]
        last = float(max(ends, default=1))
        if any(run.active for run in self._runs):
            return step_range(0.0, last, max((run.history.total_steps for run in self._runs), default=0))
        return 0.0, max(last, 1.0)

    @property
    def _range(self) -> tuple[float, float]:
        first, last = self._whole
        if not self._steps:
            return first, last
        end = min(self._end or last, last)
        start = max(first, end - self._steps)
        return start, min(last, start + self._steps)

    def _tell_legend(self, names: Sequence[str]) -> None:
        parts: list[Content] = []
        if len(self._runs) > 1:
            parts += [
                Content.assemble((run.letter, "bold"), " ", inert_line(run.name)).truncate(24, ellipsis=True)
                for run in self._runs
            ]
        if self._view.crosshair is not None and names:
            parts.append(Content.styled(_("step {n:.0f}").format(n=self._view.crosshair), "bold $text-primary"))
        if self._steps and names:
            parts.append(Content(_("steps {a:.0f}–{b:.0f}").format(a=self._view.first, b=self._view.last)))
        if self._view.smooth:
            parts.append(Content(_("smoothed")))
        if self._view.log:
            parts.append(Content(_("log y")))
        hidden = len(metrics_of(self._runs)) - len(names)
        if hidden > 0 and names:
            parts.append(Content(_("{n} more: m").format(n=hidden)))
        legend = Content(" · ").join(parts).truncate(max(1, self.size.width - 2), ellipsis=True)
        line = self.query_one("#curves-legend", Static)
        if line.content != legend:
            line.update(legend, layout=False)

    @on(events.Resize)
    def _resized(self) -> None:
        self._draw()

    def on_focus(self) -> None:
        self._draw()

    def on_blur(self) -> None:
        self._draw()

    # --- keys ---

    def toggle(self, what: str) -> None:
        """Switch `smooth` or `log`."""
        if what == "smooth":
            self._view = replace(self._view, smooth=not self._view.smooth)
        else:
            self._view = replace(self._view, log=not self._view.log)
        self.post_message(self.Drawn())
        self._draw()

    def zoom(self, factor: float) -> None:
        """Look at fewer steps, or more; about the crosshair, else to the newest."""
        first, last = self._whole
        now = self._range
        steps = (now[1] - now[0]) / factor
        if steps >= last - first:
            self.whole()
            return
        self._steps = max(steps, 4.0)
        centre = self._view.crosshair
        if centre is not None:
            self._end = min(last, centre + self._steps / 2)
        if self._end is not None and self._end >= last:
            self._end = None
        self._draw()

    def whole(self) -> None:
        """Look at all steps, without a crosshair."""
        self._steps, self._end = 0.0, None
        self._view = replace(self._view, crosshair=None)
        self._draw()

    def action_pan(self, way: int) -> None:
        _first, last = self._whole
        now = self._range
        if self._steps:
            end = now[1] + way * self._steps / 4
            self._end = None if end >= last else max(end, self._steps)
            self._draw()

    def action_crosshair(self, way: int) -> None:
        """To the next point that stands in another cell."""
        metrics = self._all_metrics()
        curves = [run.history.curves.get(metrics[self._current]) for run in self._runs] if metrics else []
        points = next((curve.slices for curve in curves if curve is not None and len(curve)), None)
        if points is None:
            return
        first, last = self._range
        cell = (last - first) / max(1, self.size.width - _GUTTER)
        if self._view.crosshair is None:
            here = len(points) - 1
        else:
            start = nearest(points, self._view.crosshair) or 0
            here = nearest(points, points[start].last + way * cell) or 0
            here = here if here != start else start + way
        step = float(points[min(max(here, 0), len(points) - 1)].last)
        self._view = replace(self._view, crosshair=step)
        if not first <= step <= last:
            self._end = step + self._steps / 2
        self._draw()

    def action_choose(self, way: int) -> None:
        count = len(self._all_metrics())
        if count:
            self._current = (self._current + way) % count
            self._draw()

    def action_alone(self) -> None:
        self._alone = not self._alone
        self._draw()

    @on(Curve.Clicked)
    def _clicked(self, event: Curve.Clicked) -> None:
        self.focus()
        first, last = self._range
        self._view = replace(self._view, crosshair=first + event.share * (last - first))
        self._draw()
