"""The Models screen in the words of its user, and a workspace for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App
from textual.widgets import OptionList, Static

from core.workspace import Workspace
from folders import make_adapter, make_model
from screen_app import Shown
from tui.messages import ModelChosen
from tui.screens.models import ModelsScreen


class Host(App[None]):
    """An app with nothing but the screen under test."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.chosen: list[tuple[str, str | None]] = []

    def on_mount(self) -> None:
        self.push_screen(ModelsScreen(self.workspace))

    def on_model_chosen(self, event: ModelChosen) -> None:
        self.chosen.append((event.model, event.adapter))


class Models(Shown):
    """The screen under test, in the words of its user."""

    def __init__(self, app: Host, pilot: Any) -> None:
        super().__init__(app, pilot)
        self.listing: Any = app.screen

    def lines(self) -> list[str]:
        """The names in the list, marks and figures left out."""
        return [row.name for row in self.listing._shown]

    def text(self, selector: str) -> str:
        return str(self.listing.query_one(selector, Static).content)

    async def highlight(self, name: str) -> None:
        self.listing.query_one(OptionList).highlighted = self.lines().index(name)
        await self.pilot.pause()


def two_models(folder: Path) -> Workspace:
    """A workspace with the models `demo`, which has the adapter `zh`, and `other`."""
    found = Workspace(folder)
    base = make_model(found.models / "demo")
    make_model(found.models / "other")
    make_adapter(found.runs / "zh", str(base))
    return found


@asynccontextmanager
async def shown(workspace: Workspace, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Models]:
    app = Host(workspace)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        models = Models(app, pilot)
        await models.until(models.lines, "the list")
        yield models
