"""The Evaluate screen in an app of its own, in the words of its user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App
from textual.widgets import Static
from textual.worker import WorkerFailed

from core.errors import FinetuiError
from core.report.report import Subject
from core.workspace import Workspace
from scripted_reports import evaluation, predictions
from tui.run_watcher import Alarm, RunWatcher
from tui.screens.evaluate import EvaluateScreen

LABELS = ["red", "green", "blue", "black"]
LORA = Subject("tuned", "demo", adapter="tuned", method="lora", dtype="float32", device="cpu")


class Host(App[None]):
    """An app with nothing but a screen and a watcher."""

    def __init__(self, workspace: Workspace, screen: type[Any] = EvaluateScreen) -> None:
        super().__init__()
        self.workspace = workspace
        self.alarms: list[Alarm] = []
        self.watcher = RunWatcher(workspace, alarm=self.alarms.append)
        self._screen_class = screen
        self.modes: list[str] = []

    def on_mount(self) -> None:
        self.push_screen(self._screen_class(self.workspace))
        self.run_worker(self.watcher.watch())

    def action_mode(self, mode: str) -> None:
        self.modes.append(mode)

    def _handle_exception(self, error: Exception) -> None:
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(cause, FinetuiError):
            self.notify(cause.hint, title=cause.message, markup=False)
        else:
            super()._handle_exception(error)


class Evaluate:
    """The screen under test, in the words of its user."""

    def __init__(self, app: Host, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> Any:
        return self.app.screen

    def rows(self) -> list[list[str]]:
        """The cells of the table."""
        return [[cell.text for cell in row.cells] for row in self.screen.table.table.rows]

    def adapters(self) -> list[str]:
        return [row[1] for row in self.rows()]

    def seen(self) -> str:
        """What stands on the screen, line by line."""
        size = self.app.size
        return "\n".join(
            "".join(segment.text for segment in strip).rstrip()
            for strip in self.app.screen._compositor.render_strips(size)
        )

    def about(self) -> str:
        return str(self.screen.query_one("#evaluate-about", Static).content)

    @property
    def toasts(self) -> list[str]:
        return [f"{toast.title} {toast.message}".strip() for toast in self.app._notifications]

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def until(self, true: Callable[[], object], what: str) -> None:
        for _turn in range(400):
            if true():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"never came: {what}; on {self.screen}; toasts: {self.toasts}")


@asynccontextmanager
async def opened_screen(
    workspace: Workspace, size: tuple[int, int] = (120, 36), screen: type[Any] = EvaluateScreen
) -> AsyncIterator[Evaluate]:
    """The screen, with its reports listed."""
    app = Host(workspace, screen)
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
