"""The Report screen in an app of its own, in the words of its user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App
from textual.widgets import Input, OptionList

from core.workspace import Workspace
from screen_app import Shown
from tui.messages import ComparisonChosen
from tui.screens.report import ReportScreen
from tui.widgets.report_rows import ReportRows

Start = Callable[..., Any]


class Host(App[None]):
    """An app with nothing but the screen under test."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        super().__init__()
        self.workspace, self.folder = workspace, folder
        self.chosen: list[ComparisonChosen] = []

    def on_mount(self) -> None:
        self.push_screen(ReportScreen(self.workspace, self.folder))

    def on_comparison_chosen(self, event: ComparisonChosen) -> None:
        self.chosen.append(event)


class Review(Shown):
    """The screen under test."""

    @property
    def screen(self) -> ReportScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, ReportScreen))

    async def filter(self, text: str) -> None:
        """Type a filter, and go back to the rows."""
        await self.press("slash")
        self.screen.query_one("#report-filter", Input).value = text
        await self.press("enter")

    @property
    def answers(self) -> ReportRows:
        return self.screen.query_one(ReportRows)

    @property
    def shown(self) -> list[int]:
        """The rows as they are listed, by their numbers in the data from 1."""
        opened = self.screen.opened
        assert opened is not None
        return [opened.predictions[index].row + 1 for index in self.screen.order]

    @property
    def row(self) -> int:
        """The row under the cursor."""
        row = self.screen.row
        assert row is not None
        return row.row + 1

    def line(self, number: int) -> str:
        """A line of the list, from 0: the heading."""
        return self.answers.render_line(number).text

    def text(self, selector: str) -> str:
        widget: Any = self.screen.query_one(selector)
        return str(widget.content)

    @property
    def sheet(self) -> str:
        return self.text("RowSheet Static")

    def options(self, page: str) -> list[str]:
        listed = self.screen.query_one(f"#{page} OptionList", OptionList)
        return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]

    @property
    def top(self) -> Any:
        return self.app.screen


@asynccontextmanager
async def opened_report(
    workspace: Workspace, folder: Path, size: tuple[int, int] = (120, 36), target: Path | None = None
) -> AsyncIterator[Review]:
    """The report in `target`, else in `folder`, read."""
    app = Host(workspace, target or folder)
    async with app.run_test(size=size) as pilot:
        review = Review(app, pilot)
        await pilot.pause()
        await review.until(lambda: review.screen.opened and review.screen.asked, "the report")
        await pilot.pause()
        yield review
