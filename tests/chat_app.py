"""The chat under test, in the words of its user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from tui.app import FinetuiApp
from waiting import until_true


class Chat:
    """The app under test, in the words of its user."""

    def __init__(self, app: FinetuiApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> Any:
        return self.app.chat

    def texts(self, column: int = 0) -> list[str]:
        """What the transcript of a column shows."""
        return [entry.text for entry in self.screen.views[column].transcript.entries]

    def entry(self, index: int, column: int = 0) -> Any:
        return self.screen.views[column].transcript.entries[index]

    async def until(self, true: Callable[[], object], what: str = "") -> None:
        """Wait for something to become true."""
        await until_true(self.pilot, true, what)

    async def ready(self) -> None:
        """Wait for the model."""
        await self.until(lambda: self.screen.driver.loaded(self.screen.conversation.columns[0].model), "a loaded model")

    async def type(self, text: str) -> None:
        """Put a line into the input and press enter."""
        self.screen.input.text = text
        self.screen.input.focus()
        await self.pilot.press("enter")

    async def answered(self) -> None:
        """Wait for the end of the answer under way."""
        await self.pilot.pause()
        await self.until(lambda: self.screen.exchange is None, "the end of the answer")
        await self.pilot.pause()

    async def ask(self, text: str) -> None:
        await self.type(text)
        await self.answered()


StartChat = Callable[..., Any]
"""`async with start_chat(answers=[…]) as chat`."""
