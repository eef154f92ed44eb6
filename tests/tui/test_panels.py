"""The panels beside the chat and the dialogs over it, as far as keys and room go."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.widgets import Input, OptionList, Static

from core.chat.store import SessionStore, SessionSummary
from core.models.progress import PullProgress
from core.workspace import Workspace
from tui.forms import OptionRow
from tui.screens.picker import Picker
from tui.widgets.dialogs import AskText
from tui.widgets.session_list import SessionList
from tui.widgets.welcome import progress_lines

StartChat = Any


@pytest.fixture
def kept(chat_workspace: Workspace) -> list[SessionSummary]:
    """Three conversations, as the list shows them."""
    store = SessionStore(chat_workspace.sessions)
    for question in ("one", "two", "three"):
        store.create().append("user", question)
    return store.list()


async def listed(chat: Any, count: int) -> SessionList:
    """The list of conversations, when it shows so many."""
    await chat.until(lambda: chat.screen.query(SessionList), "the list")
    panel: SessionList = chat.screen.query_one(SessionList)
    await chat.until(lambda: panel.query_one(OptionList).option_count == count, f"{count} conversations")
    return panel


def burst(chat: Any, keys: str) -> None:
    """Keys as a terminal sends them when somebody types fast: all at once."""
    for key in keys:
        chat.app.post_message(events.Key(key, key))


async def test_what_is_typed_right_behind_r_is_the_title_and_deletes_nothing(
    start_chat: StartChat, kept: list[SessionSummary]
) -> None:
    async with start_chat() as chat:
        await listed(chat, 3)
        await chat.pilot.press("ctrl+l")
        burst(chat, "rddudd")
        await chat.until(lambda: isinstance(chat.app.screen, AskText), "the dialog")
        await chat.until(lambda: chat.app.screen.query_one(Input).value == "ddudd", "the title")
        await chat.pilot.press("x", "enter")
        await chat.until(lambda: chat.screen.store.list()[0].title == "ddudd" + "x", "the new title")
        assert all(one.path.exists() for one in kept)


async def test_a_title_is_replaced_by_typing_and_kept_by_escape(
    start_chat: StartChat, kept: list[SessionSummary]
) -> None:
    async with start_chat() as chat:
        await listed(chat, 3)
        await chat.pilot.press("ctrl+l", "r")
        await chat.until(lambda: isinstance(chat.app.screen, AskText), "the dialog")
        assert chat.app.screen.query_one(Input).value == kept[0].title
        await chat.pilot.press("n", "o", "escape")
        await chat.until(lambda: chat.app.screen is chat.screen, "the chat")
        assert chat.screen.store.list()[0].title == kept[0].title


async def test_the_open_conversation_is_marked_and_highlighted(
    start_chat: StartChat, kept: list[SessionSummary]
) -> None:
    async with start_chat() as chat:
        panel = await listed(chat, 3)
        options = panel.query_one(OptionList)
        await chat.screen.open(kept[2])
        await chat.pilot.press("ctrl+l")
        assert options.highlighted == 2
        marked = ["▎" in str(options.get_option_at_index(index).prompt) for index in range(3)]
        assert marked == [False, False, True]
        await chat.pilot.press("up", "enter")
        await chat.until(lambda: chat.screen.conversation.path == kept[1].path, "the other conversation")
        await chat.pilot.pause()
        assert ["▎" in str(options.get_option_at_index(index).prompt) for index in range(3)] == [False, True, False]


async def test_undo_opens_the_conversation_that_was_open(start_chat: StartChat, kept: list[SessionSummary]) -> None:
    async with start_chat(size=(80, 24)) as chat:
        await chat.screen.open(kept[1])
        await chat.pilot.press("ctrl+l")
        await listed(chat, 3)
        await chat.pilot.press("d")
        await chat.until(lambda: chat.texts() == [], "an empty chat")
        await chat.pilot.press("u")
        await chat.until(lambda: chat.texts() == [kept[1].title], "the conversation again")
        assert chat.screen.conversation.path == kept[1].path
        await chat.pilot.pause()
        assert chat.screen.query_one(SessionList).has_focus_within


async def test_a_vanished_conversation_leaves_the_list(start_chat: StartChat, kept: list[SessionSummary]) -> None:
    async with start_chat() as chat:
        await listed(chat, 3)
        kept[0].path.unlink()
        await chat.pilot.press("ctrl+l", "enter")
        await chat.until(lambda: any(kept[0].path.name in text for text in chat.texts()), "the error")
        await listed(chat, 2)
        kept[1].path.unlink()
        await chat.pilot.press("d")
        await listed(chat, 1)


async def test_a_search_without_hits_says_so(start_chat: StartChat, kept: list[SessionSummary]) -> None:
    async with start_chat() as chat:
        panel = await listed(chat, 3)
        nothing = panel.query_one(".nothing", Static)
        assert not nothing.display
        panel.query_one(Input).value = "no such text"
        await chat.until(lambda: nothing.display, "the note")
        assert str(nothing.content) == "No conversation has this text."
        panel.query_one(Input).value = "thre"
        await listed(chat, 1)
        assert not nothing.display


# --- room -------------------------------------------------------------------------------------------------------


async def test_panels_leave_when_the_terminal_gets_narrow_and_the_list_comes_back(start_chat: StartChat) -> None:
    async with start_chat(size=(120, 36)) as chat:
        await chat.until(lambda: chat.screen.query(SessionList), "the list")
        await chat.pilot.press("ctrl+s")
        await chat.until(lambda: chat.screen.query("SettingsPanel:focus-within"), "the settings")
        await chat.pilot.resize_terminal(80, 24)
        await chat.until(lambda: not chat.screen.query("SessionList, SettingsPanel"), "the chat alone")
        assert chat.screen.input.has_focus
        await chat.pilot.resize_terminal(120, 36)
        await chat.until(lambda: chat.screen.query(SessionList), "the list again")


async def test_narrow_screens_show_one_panel_as_long_as_the_keyboard_is_in_it(start_chat: StartChat) -> None:
    async with start_chat(size=(40, 10)) as chat:
        await chat.pilot.press("ctrl+l")
        assert chat.screen.query_one(SessionList).has_focus_within
        await chat.pilot.press("ctrl+s")
        await chat.until(lambda: chat.screen.query("SettingsPanel:focus-within"), "the settings")
        await chat.until(lambda: not chat.screen.query(SessionList), "no list below")
        await chat.pilot.press("escape")
        await chat.until(lambda: not chat.screen.query("SettingsPanel"), "the chat alone")
        assert chat.screen.input.has_focus
        await chat.pilot.press("ctrl+l", "shift+tab")
        await chat.pilot.press("escape", "h", "i")
        await chat.until(lambda: not chat.screen.query(SessionList), "the chat alone again")
        assert chat.screen.input.text == "hi"


async def test_three_columns_take_the_room_of_the_list(start_chat: StartChat) -> None:
    async with start_chat(size=(120, 36)) as chat:
        await chat.until(lambda: chat.screen.query(SessionList), "the list")
        await chat.type("/compare base tuned other")
        await chat.until(lambda: len(chat.screen.views) == 3 and not chat.screen.query(SessionList), "three columns")
        await chat.pilot.press("ctrl+t")
        await chat.until(lambda: len(chat.screen.views) == 1 and chat.screen.query(SessionList), "the list again")


@pytest.mark.parametrize("key", ["ctrl+g", "ctrl+t", "f9", "ctrl+l", "ctrl+s"])
async def test_ten_rows_are_enough_to_see_what_it_is_about(start_chat: StartChat, key: str) -> None:
    shows = {"ctrl+l": "question", "f9": "<|user|>", "ctrl+s": "temperature"}.get(key, "tuned")
    async with start_chat(size=(40, 10), answers=["a"]) as chat:
        await chat.ask("question")
        await chat.pilot.press(key)
        await chat.until(lambda: shows in screen_text(chat), shows)


def screen_text(chat: Any) -> str:
    """What stands on the terminal."""
    lines = chat.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


# --- the settings -----------------------------------------------------------------------------------------------


async def test_the_help_of_a_setting_follows_the_keyboard(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press("ctrl+s")
        await chat.until(lambda: chat.screen.query("SettingsPanel:focus-within"), "the settings")
        rows = {row.spec.name: row for row in chat.screen.query(OptionRow)}

        def shown() -> list[str]:
            return [name for name, row in rows.items() if row.query_one(".option-note").region.height]

        assert shown() == []
        await chat.pilot.press("tab")
        await chat.until(lambda: shown() == ["temperature"], "the help of temperature")
        await chat.pilot.press("tab")
        await chat.until(lambda: shown() == ["top_p"], "the help of top_p")
        note = str(rows["top_p"].query_one(".option-note", Static).content)
        assert note == (
            "Draw among the likeliest tokens that together have this probability. 1: among all"
            " · above 0, up to 1 · default: 0.9"
        )
        await chat.pilot.press("escape")
        await chat.until(lambda: shown() == [], "no help")


async def test_the_system_prompt_goes_on_at_its_end_and_has_lines(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.type("/system be short")
        await chat.until(lambda: chat.screen.conversation.system == "be short", "the prompt")
        await chat.pilot.press("ctrl+s")
        await chat.until(lambda: chat.screen.query("SettingsPanel:focus-within"), "the settings")
        await chat.pilot.press("!", "ctrl+j", "o", "k")
        await chat.until(lambda: chat.screen.conversation.system == "be short!\nok", "two lines")


# --- who answers ------------------------------------------------------------------------------------------------


async def test_the_picker_counts_marks_and_tells_who_answers_now(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press("ctrl+g")
        await chat.until(lambda: isinstance(chat.app.screen, Picker), "the picker")
        rows = [str(option.prompt) for option in chat.app.screen.query_one(OptionList).options]
        assert rows == ["demo  answers now", "  + tuned", "other"]
        await chat.pilot.press("escape", "ctrl+t")
        await chat.until(lambda: isinstance(chat.app.screen, Picker) and chat.app.screen.many, "the picker")
        await chat.pilot.press("down", "space")
        rows = [str(option.prompt) for option in chat.app.screen.query_one(OptionList).options]
        assert rows == ["[1] demo", "[2]   + tuned", "[ ] other"]
        hint = str(chat.app.screen.query_one(".dialog-keys", Static).content)
        assert hint.startswith("2 of 4 marked · ")
        await chat.pilot.press("x", "y", "z")
        hint = str(chat.app.screen.query_one(".dialog-keys", Static).content)
        assert hint.startswith("Nothing has that name.")


async def test_a_picker_without_models_says_where_they_come_from() -> None:
    app = App[None]()
    async with app.run_test() as pilot:
        await app.push_screen(Picker([]))
        await pilot.pause()
        hint = str(app.screen.query_one(".dialog-keys", Static).content)
        assert hint.startswith("There is no model yet: F6 fetches one.")


def test_a_pull_tells_its_step_and_how_to_end_it() -> None:
    told = progress_lines(PullProgress("checking", 50, 100, "checking what came"), "step 2 of 3")
    assert told.plain.splitlines() == [
        "━" * 18 + "─" * 18 + "  50%",
        "step 2 of 3 · checking what came",
        "esc cancels",
    ]
    assert progress_lines(PullProgress("downloading", 5, 0, "5 MB"), "").plain.splitlines() == ["5 MB", "esc cancels"]
