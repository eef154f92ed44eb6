"""The app's first moments: what is pressed before everything is there happens as soon as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events

from core.workspace import Workspace
from tui.app import FinetuiApp
from tui.widgets.prompt_input import PromptInput
from waiting import until_true


@pytest.fixture
def open_chat(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The chat does not come before this is set: until then the first frame stands."""
    gate, watch_runs = asyncio.Event(), FinetuiApp._watch_runs

    async def held(app: FinetuiApp) -> None:
        await gate.wait()
        await watch_runs(app)

    monkeypatch.setattr(FinetuiApp, "_watch_runs", held)
    return gate


async def test_a_screen_that_is_asked_for_at_the_first_frame_comes_behind_the_chat(
    tmp_path: Path, open_chat: asyncio.Event
) -> None:
    (tmp_path / "data").mkdir()
    app = FinetuiApp(Workspace(tmp_path))
    async with app.run_test() as pilot:
        assert app.chat is None
        app.action_mode("data")
        open_chat.set()
        await until_true(pilot, lambda: type(app.screen).__name__ == "DataScreen", "the Data screen")
        assert [type(screen).__name__ for screen in app.screen_stack[1:]] == ["ChatScreen", "DataScreen"]
        app.action_mode("chat")
        assert app.screen is app.chat


async def test_the_chat_goes_on_with_what_was_typed_pasted_selected_and_sent_at_the_first_frame(
    tmp_path: Path, open_chat: asyncio.Event
) -> None:
    app = FinetuiApp(Workspace(tmp_path))
    pasted = "很长 " * 6000
    async with app.run_test() as pilot:
        assert app.chat is None
        opening = app.screen.query_one(PromptInput)
        opening.remember("sent before the chat was there")
        await opening._on_paste(events.Paste(pasted))
        assert len(opening.text) < 100, "a mark stands for more than 10,000 characters"
        opening.select_all()
        selection, text = opening.selection, opening.text
        open_chat.set()
        await until_true(pilot, lambda: app.chat and app.chat.is_mounted and app.chat.input.text, "the chat")
        assert app.chat is not None
        taken = app.chat.input
        assert (taken.text, taken.selection, taken.sent) == (text, selection, ["sent before the chat was there"])
        assert taken.full_text == pasted
        taken.action_delete_left()  # what backspace does: all of it was selected
        assert taken.text == ""
