"""The curves of one or more runs, a chart for each metric, looked at together: one zoom, one crosshair, one scale.

Of a supervised training the first chart is the large one, of other stages four are of one size. What is shown is told
in a line above: whose letters these are, and how it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from core.i18n import _
from core.runs.quantities import TrainingStage
from core.untrusted import inert_line
from tui.actions import bindings
from tui.charts.axes import step_range
from tui.charts.plot import Chart, View
from tui.curve_plots import AT_ONCE, ShownRun, about, metrics_of, shown_first, stage_of, target_of, title_of, traces
from tui.series import nearest
from tui.widgets.curve import Curve

_AS_IT_IS = ("learning_rate",)
"""No measurement: smoothing it would only tell it late."""
_ROWS_PER_CHART = 6
_TWO_COLUMNS = 52
_GUTTER = 9


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

    def __init__(
        self, chosen: Mapping[TrainingStage, Sequence[str]] | None = None, *, smooth: bool = True, log: bool = False
    ) -> None:
        super().__init__()
        self.chosen: dict[TrainingStage, tuple[str, ...]] = {
            stage: tuple(names) for stage, names in (chosen or {}).items()
        }
        """The curves that were chosen for runs of a stage; none means the first few there are."""
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

    @property
    def stage(self) -> TrainingStage:
        """The stage of what is shown."""
        return stage_of(self._runs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that were chosen for this stage."""
        return self.chosen.get(self.stage, ())

    def choose(self, metrics: Sequence[str]) -> None:
        """Draw these whenever a run of this stage is shown."""
        self.chosen[self.stage] = tuple(metrics)

    def _all_metrics(self) -> list[str]:
        chosen = [name for name in metrics_of(self._runs) if name in self.metrics]
        return chosen or shown_first(self._runs)

    def _shown_metrics(self) -> list[str]:
        """The metrics that there is room for."""
        names = self._all_metrics()
        if not names:
            return []
        self._current = min(self._current, len(names) - 1)
        if self._alone:
            return [names[self._current]]
        room = self._room
        if self._current < room:
            return names[:room]
        return [*names[: room - 1], names[self._current]]

    @property
    def _even(self) -> bool:
        """Whether the charts are of one size."""
        return self.stage != "sft"

    @property
    def _room(self) -> int:
        """How many charts have room; of one size, four say enough until others are chosen."""
        across = self._across
        rows = max(1, (self.size.height - 1) // _ROWS_PER_CHART)
        if self._even:
            return across * rows if self.metrics else min(across * rows, AT_ONCE)
        return rows if across == 1 else 1 + 2 * max(0, rows - 2)

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
            lines, level = list(traces(name, self._runs)), target_of(name, self._runs)
            curve.show(Chart(title_of(name, self._runs), lines, self.has_focus and name == current, level), view)
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
        large = 0 if self._even else 1
        grid.styles.grid_rows = "3fr 2fr" if across > large > 0 else "1fr"
        for number, curve in enumerate(curves):
            last_alone = number == count - 1 and (count - large) % 2 == 1
            curve.styles.column_span = across if number < large or last_alone else 1
        return curves

    @property
    def _whole(self) -> tuple[float, float]:
        """The steps of all runs, up to a round number while one of them goes on."""
        ends = [curve.last_step for run in self._runs for curve in run.history.curves.values() if len(curve)]
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
        if self.has_focus and names and (told := about(self._all_metrics()[self._current], self._runs)):
            parts.append(Content(told.rstrip(".")))
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
