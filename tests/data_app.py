"""The Data screen in the words of its user, and a workspace with sets for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.widgets import OptionList

from core.workspace import Workspace
from hostile import SHORT
from screen_app import ScreenApp, Shown
from tui.screens.data import DataScreen
from tui.widgets.rows_list import RowsList

HOSTILE = "".join(text for name, text in SHORT.items() if name != "surrogates")
ROWS = [{"instruction": f"怎么取消套餐 {n}？", "input": "", "output": f"取消方式_{n % 3}"} for n in range(30)]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def fill_data(workspace: Workspace) -> None:
    """Put there the set `telecom`, a wrong entry, a set with bad rows, and a file that nobody entered."""
    data = workspace.data
    data.mkdir()
    (data / "telecom.jsonl").write_text(lines(ROWS))
    (data / "bad.jsonl").write_text(lines([{"instruction": "q", "output": HOSTILE}, {"instruction": ""}]) + "{broken\n")
    (data / "mine.jsonl").write_text(lines([{"问题": "谁？", "答案": "我。"}]))
    info = {
        "telecom": {"file_name": "telecom.jsonl"},
        "bad": {"file_name": "bad.jsonl"},
        "gone": {"file_name": "gone.jsonl"},
        "wrong": {"formatting": "x"},
    }
    (data / "dataset_info.json").write_text(json.dumps(info))


class Data(Shown):
    """The screen under test, in the words of its user."""

    @property
    def screen(self) -> DataScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, DataScreen))

    @property
    def rows(self) -> RowsList:
        return self.screen.query_one(RowsList)

    def text(self, selector: str) -> str:
        widget: Any = self.screen.query_one(selector)
        return str(widget.content)

    @property
    def row(self) -> str:
        """What is shown of the row under the cursor."""
        return self.text("RowPane VerticalScroll Static")

    @property
    def place(self) -> str:
        return self.text("RowPane .place")

    def options(self, selector: str) -> list[str]:
        listed = self.screen.query_one(selector, OptionList)
        return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]

    async def choose(self, name: str) -> None:
        names = [each.name for each in self.screen.all_sets]
        self.screen.list.options.highlighted = names.index(name)
        await self.until(lambda: self.screen.current and self.screen.current.name == name, name)
        await self.until(lambda: name in self.screen._opened, f"{name} opened")
        await self.pilot.pause()


def data_alone(workspace: Workspace) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(size: tuple[int, int] = (120, 36)) -> AsyncIterator[Data]:
        app = ScreenApp(workspace, DataScreen)
        async with app.run_test(size=size) as pilot:
            data = Data(app, pilot)
            await pilot.pause()
            await data.until(lambda: len(data.screen._opened) == len(data.screen.all_sets) > 0, "every set opened")
            await pilot.pause()
            yield data

    return start


async def go_there(chat: Any, *keys: str) -> None:
    """Press the keys that open the screen."""
    await chat.pilot.press(*keys)
    await chat.until(lambda: isinstance(chat.app.screen, DataScreen), "the Data screen")
