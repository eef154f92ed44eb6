"""The Evaluate screen in an app of its own, in the words of its user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.widgets import Static

from core.report.report import Subject
from core.workspace import Workspace
from screen_app import ScreenApp, Shown
from scripted_reports import evaluation, predictions
from tui.screens.evaluate import EvaluateScreen

LABELS = ["red", "green", "blue", "black"]
LORA = Subject("tuned", "demo", adapter="tuned", method="lora", dtype="float32", device="cpu")


class Evaluate(Shown):
    """The screen of reports."""

    def rows(self) -> list[list[str]]:
        """The cells of the table."""
        return [[cell.text for cell in row.cells] for row in self.screen.table.table.rows]

    def adapters(self) -> list[str]:
        return [row[1] for row in self.rows()]

    def about(self) -> str:
        return str(self.screen.query_one("#evaluate-about", Static).content)


@asynccontextmanager
async def opened_screen(
    workspace: Workspace, size: tuple[int, int] = (120, 36), screen: type[Any] = EvaluateScreen
) -> AsyncIterator[Evaluate]:
    """The screen, with its reports listed."""
    app = ScreenApp(workspace, screen)
    async with app.run_test(size=size) as pilot:
        shown = Evaluate(app, pilot)
        await shown.until(lambda: app.watcher.scanned, "the runs")
        if screen is EvaluateScreen:
            await shown.until(lambda: shown.screen._listed_once, "the reports")
        await pilot.pause()
        yield shown


def three_reports(workspace: Workspace) -> None:
    """A base that is right once and an adapter that is right thrice, of one set; and one of another set."""
    evaluation(workspace.runs / "eval-base", predictions(LABELS, ["red", "no", "no", ""]), time=1.0)
    evaluation(workspace.runs / "eval-tuned", predictions(LABELS, [*LABELS[:3], "no"]), subject=LORA, time=2.0)
    evaluation(workspace.runs / "eval-other", predictions(LABELS[:2], LABELS[:2]), dataset="other", time=3.0)
