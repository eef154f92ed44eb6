"""How the Train screen draws curves: the keys for it, and what the workspace remembers of it for the next time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual import on

from core.runs.quantities import QUANTITIES, TrainingStage
from core.workspace import load_state
from tui.curve_plots import about, metrics_of, title_of
from tui.screens.metrics import MetricsDialog
from tui.screens.run_list import ListedRuns
from tui.widgets.curves_pane import CurvesPane


class DrawnCurves(ListedRuns):
    """The keys of the curves."""

    def kept_curves(self) -> CurvesPane:
        """Charts that are drawn as they were the last time."""
        kept = load_state(self.workspace).get("curves")
        kept = kept if isinstance(kept, dict) else {}
        return CurvesPane(_chosen_curves(kept), smooth=kept.get("smooth") is not False, log=kept.get("log") is True)

    def action_smooth(self) -> None:
        self.query_one(CurvesPane).toggle("smooth")

    def action_log_scale(self) -> None:
        self.query_one(CurvesPane).toggle("log")

    def action_crosshair(self, way: int) -> None:
        self.query_one(CurvesPane).action_crosshair(way)

    def action_pan(self, way: int) -> None:
        self.query_one(CurvesPane).action_pan(way)

    def action_choose(self, way: int) -> None:
        self.query_one(CurvesPane).action_choose(way)

    def action_alone(self) -> None:
        self.query_one(CurvesPane).action_alone()

    def action_zoom(self, factor: float) -> None:
        self.query_one(CurvesPane).zoom(factor)

    def action_whole(self) -> None:
        self.query_one(CurvesPane).whole()

    def action_metrics(self) -> None:
        """Choose which curves are shown."""
        pane = self.query_one(CurvesPane)
        there = metrics_of(pane.runs)

        def chosen(metrics: list[str] | None) -> None:
            if metrics is not None:
                pane.choose(metrics)
                self._curves_drawn()
                self._show_run()

        if there:
            titles = {name: _told(title_of(name, pane.runs), about(name, pane.runs)) for name in there}
            self.app.push_screen(MetricsDialog(there, pane.metrics, titles=titles), chosen)

    @on(CurvesPane.Drawn)
    def _curves_drawn(self) -> None:
        pane = self.query_one(CurvesPane)
        chosen = {_kept_name(stage): list(names) for stage, names in pane.chosen.items()}
        self.remember(curves={"smooth": pane.view.smooth, "log": pane.view.log, "metrics": [], **chosen})


def _kept_name(stage: TrainingStage) -> str:
    """Under which name the workspace remembers the curves that were chosen for a stage."""
    return "metrics" if stage == "sft" else f"metrics_{stage}"


def _chosen_curves(kept: Mapping[str, Any]) -> dict[TrainingStage, list[str]]:
    found = {stage: kept.get(_kept_name(stage)) for stage in QUANTITIES}
    return {
        stage: [name for name in names if isinstance(name, str)]
        for stage, names in found.items()
        if isinstance(names, list)
    }


def _told(title: str, sentence: str) -> str:
    return f"{title}: {sentence}" if sentence else title
