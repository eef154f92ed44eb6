"""The Train screen in the words of its user, and scripted runs for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from core.workspace import Workspace
from screen_app import ScreenApp, Shown
from scripted_runs import BEGAN, ScriptedRun
from tui import run_watcher
from tui.screens import train as train_module
from tui.screens.train import TrainScreen
from tui.widgets.curve import Curve

HOSTILE = "\x1b]0;owned\x07[bold]x[/bold]\x1b[2J"


class Train(Shown):
    """The screen under test; `chat` is the app that it stands in."""

    def __init__(self, app: Any, pilot: Any, chat: Any = None) -> None:
        super().__init__(app, pilot)
        self.chat = chat

    async def listed(self) -> None:
        """Wait for the runs."""
        await self.until(lambda: isinstance(self.screen, TrainScreen), "the Train screen")
        watcher = self.app.watcher
        await self.until(lambda: watcher.scanned and not watcher._wanted, "the runs")
        await self.until(lambda: len(self.rows()) == len(watcher.trainings), "the list")
        await self.pilot.pause()

    def rows(self) -> list[str]:
        listed = self.screen.query_one("#train-runs", OptionList)
        return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]

    def text(self, selector: str) -> str:
        return "\n".join(str(shown.content) for shown in self.screen.query(selector).results(Static))

    @property
    def legend(self) -> str:
        return self.text("#curves-legend")

    def curves(self) -> dict[str, str]:
        """What each chart shows, by its metric."""
        drawn = [curve.text for curve in self.screen.query(Curve)]
        return {text.replace("▸", " ").split()[0]: text for text in drawn if text.strip()}


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs looked at often."""
    monkeypatch.setattr(run_watcher, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(run_watcher, "_GLANCE_SECONDS", 0.02)
    monkeypatch.setattr(run_watcher, "_SCAN_SECONDS", 0.1)
    monkeypatch.setattr(train_module, "_DRAW_SECONDS", 0.0)


def train_alone(workspace: Workspace) -> Callable[..., Any]:
    """`async with train() as screen`: the screen alone."""

    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36)) -> AsyncIterator[Train]:
        app = ScreenApp(workspace, TrainScreen)
        async with app.run_test(size=size) as pilot:
            shown = Train(app, pilot)
            await shown.listed()
            yield shown

    return start


def train_within(start_chat: Any) -> Callable[..., Any]:
    """The same in the whole app."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Train]:
        async with start_chat() as chat:
            await chat.pilot.press("f3")
            shown = Train(chat.app, chat.pilot, chat)
            await shown.listed()
            yield shown

    return start


def running(workspace: Workspace, name: str = "zh-lora", *, upto: int = 41) -> ScriptedRun:
    run = ScriptedRun(workspace.runs / name)
    run.start()
    run.ready()
    run.steps(1, upto)
    return run


def ended(workspace: Workspace, name: str, *, launched: float = BEGAN - 1000) -> ScriptedRun:
    run = ScriptedRun(workspace.runs / name, launched=launched)
    run.start(alive=False)
    run.ready()
    run.steps(1, 100)
    run.evaluate(50, 0.8, best=True)
    run.save(50, best=True)
    run.evaluate(100, 0.9)
    run.save(100)
    run.finish()
    return run
