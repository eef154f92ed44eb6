"""The page of a run's curves: the charts, and below them, where there is room, how its stage stands in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from core.runs.history import History
from core.runs.quantities import TrainingStage
from tui.curve_plots import ShownRun
from tui.widgets.curves_pane import CurvesPane
from tui.widgets.stage_lines import StageLines, stage_content

_CHART_ROWS = 13
"""A legend and two rows of charts."""


class CurvesPage(Vertical):
    """Shows runs over one another, and tells of one of them.

    Args:
        pane: the charts, drawn as the user has chosen.
    """

    DEFAULT_CSS = """
    CurvesPage { height: 1fr; }
    """

    def __init__(self, pane: CurvesPane, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.pane = pane
        self._told: tuple[History, TrainingStage, Mapping[str, str]] | None = None

    def compose(self) -> ComposeResult:
        yield self.pane
        yield StageLines(Content(""))

    def show(
        self,
        runs: Sequence[ShownRun],
        history: History | None,
        stage: TrainingStage,
        options: Mapping[str, str],
        waiting: str = "",
    ) -> None:
        """Draw these runs, and tell how one of them stands.

        Args:
            runs: whose curves are drawn.
            history: of the run that is told of.
            stage: of that run.
            options: of that run, as its config.yaml says them.
            waiting: said where there is nothing to draw yet.
        """
        self._told = (history, stage, options) if history is not None else None
        self.pane.display = True
        self.pane.show(runs, waiting)
        self._tell()

    def show_instead(self, text: Content) -> None:
        """Show a text in the place of curves, for what has none of its own."""
        self._told = None
        self.pane.display = False
        self.query_one(StageLines).show(text)

    def _tell(self) -> None:
        if not self.pane.display:
            return
        room = self.size.height - _CHART_ROWS
        content = stage_content(*self._told, self.size.width - 2, room) if self._told else Content("")
        self.query_one(StageLines).show(content)

    def on_resize(self) -> None:
        self._tell()
