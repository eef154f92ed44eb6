"""Typing in the chat: which keys go where, and what a slash command may become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual import events

from tui.screens.picker import Picker
from tui.widgets.completion import Completion

StartChat = Any


def offered(chat: Any) -> list[str]:
    return [value for value, _help in chat.screen.query_one(Completion).options]


async def typed(chat: Any, text: str) -> list[str]:
    """What is offered for a text."""
    chat.screen.input.text = text
    await chat.pilot.pause()
    return offered(chat)


async def test_arguments_are_completed_with_what_there_is(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        assert await typed(chat, "/set te") == ["/set temperature "]
        assert await typed(chat, "/set default_") == []  # the system prompt has a command of its own
        assert await typed(chat, "/model ") == ["/model ", "/model demo", "/model other", "/model tuned"]
        assert await typed(chat, "/adapter ") == ["/adapter tuned"]
        assert await typed(chat, "/compare b") == ["/compare base"]
        assert await typed(chat, "/export m") == ["/export markdown", "/export messages"]
        assert await typed(chat, "an /export m") == []


async def test_a_command_typed_in_full_is_that_command(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press(*"/model", "enter")
        await chat.until(lambda: isinstance(chat.app.screen, Picker), "the picker")


async def test_page_keys_scroll_the_conversation_while_one_types(start_chat: StartChat) -> None:
    async with start_chat(answers=["line\n\n" * 100]) as chat:
        await chat.ask("q")
        (transcript,) = (view.transcript for view in chat.screen.views)
        end = transcript.scroll_y
        assert end > 100
        await chat.pilot.press("x", "pageup")
        assert (transcript.scroll_y, chat.screen.input.text) == (end - transcript.size.height + 2, "x")
        await chat.pilot.press("ctrl+home")
        assert transcript.scroll_y == 0
        await chat.pilot.press("ctrl+end")
        assert (transcript.scroll_y, chat.app.focused) == (end, chat.screen.input)


async def test_what_means_nothing_on_a_message_is_typed_into_the_input(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.pilot.press("ctrl+up", *"/he")
        assert (chat.screen.input.text, chat.app.focused) == ("/he", chat.screen.input)
        assert offered(chat) == ["/help"]


@pytest.mark.parametrize(
    ("burst", "text"),
    [
        (lambda: [events.Key("Y", "Y"), *(events.Key(key, key) for key in "eb"), events.Key("backspace", None)], "Ye"),
        (lambda: [events.Paste("many\rlines")], "many\nlines"),
    ],
)
async def test_a_burst_on_a_message_reaches_the_input_in_order(
    start_chat: StartChat, burst: Callable[[], list[events.Event]], text: str
) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.pilot.press("ctrl+up")
        for event in burst():
            chat.app.post_message(event)
        await chat.until(lambda: chat.screen.input.text == text, text)
        assert chat.entry(1).badge == ""  # b was typed, it rated nothing
