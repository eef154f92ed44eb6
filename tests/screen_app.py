"""One screen in an app of its own, in the words of its user."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.widgets import Static
from textual.worker import WorkerFailed

from core.errors import FinetuiError
from core.workspace import Workspace
from tui.forms import OptionRow
from tui.grouped_form import GroupedForm
from tui.run_watcher import Alarm, RunWatcher
from waiting import PATIENCE, until_true


class ScreenApp(App[None]):
    """An app with nothing but a screen and a watcher; it tells errors as the whole app does."""

    def __init__(self, workspace: Workspace, screen: Callable[[Workspace], Any]) -> None:
        super().__init__()
        self.workspace = workspace
        self.alarms: list[Alarm] = []
        self.watcher = RunWatcher(workspace, alarm=self.alarms.append)
        self._first = screen
        self.modes: list[str] = []

    def on_mount(self) -> None:
        self.push_screen(self._first(self.workspace))
        self.run_worker(self.watcher.watch())

    async def action_mode(self, mode: str) -> None:
        self.modes.append(mode)

    def _handle_exception(self, error: Exception) -> None:
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(cause, FinetuiError):
            self.notify(cause.hint, title=cause.message, markup=False)
        else:
            super()._handle_exception(error)


class Shown:
    """What is on the screen, in the words of its user."""

    def __init__(self, app: Any, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> Any:
        return self.app.screen

    @property
    def toasts(self) -> list[str]:
        return [f"{toast.title} {toast.message}".strip() for toast in self.app._notifications]

    def seen(self) -> str:
        """What stands on the screen, line by line."""
        strips = self.screen._compositor.render_strips(self.app.size)
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def rests(self) -> None:
        """Wait until nothing is painted for a while."""
        painted: list[object] = []
        self.app._display = lambda _screen, renderable: painted.append(renderable)
        deadline = time.monotonic() + PATIENCE
        await self.pilot.pause(0.4)
        while painted:
            assert time.monotonic() < deadline, f"it goes on painting: {painted}"
            painted.clear()
            await self.pilot.pause(0.4)

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for something to become true."""
        await until_true(self.pilot, true, what, lambda: f"; toasts: {self.toasts}; on {self.screen}: {self.seen()}")


class ShownForm(Shown):
    """A form of options with its plan."""

    @property
    def plan(self) -> str:
        return "\n".join(str(self.screen.query_one(name, Static).content) for name in ("#plan-title", "#plan-text"))

    @property
    def values(self) -> dict[str, str]:
        return dict(self.screen.query_one(GroupedForm).values)

    def rows(self) -> list[str]:
        """The options that are shown."""
        return [row.spec.name for row in self.screen.query(OptionRow) if row.display]

    def row(self, name: str) -> OptionRow:
        return next(row for row in self.screen.query(OptionRow) if row.spec.name == name)

    def note(self, name: str) -> str:
        """What stands below an option."""
        return str(self.row(name).query_one(".option-note", Static).content)

    async def put(self, name: str, text: str) -> None:
        """Have a row say something, without the walk there."""
        self.screen.query_one(GroupedForm).go_to(name)
        self.row(name).input.value = text
        await self.pilot.pause()
