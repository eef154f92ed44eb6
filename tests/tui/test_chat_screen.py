"""The chat as its user meets it, with a scripted worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.chat.session import open_conversation
from core.workspace import Workspace, load_state
from waiting import until_true

StartChat = Any


async def test_a_question_is_answered_and_kept(start_chat: StartChat, chat_workspace: Workspace) -> None:
    async with start_chat(answers=["The capital is **Paris**."]) as chat:
        await chat.ask("What is the capital of France?")
        assert chat.texts() == ["What is the capital of France?", "The capital is **Paris**."]
        assert "4 tok ·" in chat.entry(1).footer
        path = chat.screen.conversation.path
    kept = open_conversation(path)
    assert [(turn.role, turn.content) for turn in kept.line()] == [
        ("user", "What is the capital of France?"),
        ("assistant", "The capital is **Paris**."),
    ]
    answer = kept.line()[1]
    assert (answer.model, answer.finish_reason, answer.usage.answer_tokens) == ("demo", "stop", 4)


async def test_one_can_type_while_the_model_loads(start_chat: StartChat) -> None:
    async with start_chat(answers=["yes"], phase_seconds=0.1) as chat:
        assert chat.screen.driver.loaded("demo") is None
        await chat.ask("there?")
        assert chat.texts() == ["there?", "yes"]


async def test_multi_turn_sends_the_conversation_and_single_turn_only_the_question(
    start_chat: StartChat, tmp_path: Any
) -> None:
    record = tmp_path / "requests.jsonl"
    async with start_chat(answers=["a"], record=str(record)) as chat:
        await chat.ask("one")
        await chat.ask("two")
        await chat.type("/single")
        await chat.pilot.pause()
        await chat.ask("three")
        await chat.pilot.press("f8")
        await chat.ask("four")
    requests = [json.loads(line) for line in record.read_text().splitlines()]
    sent = [
        [message["content"] for message in request["rows"][0]["messages"]]
        for request in requests
        if request["type"] == "generate"
    ]
    assert sent == [["one"], ["one", "a", "two"], ["three"], ["one", "a", "two", "a", "three", "a", "four"]]


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_a_stopped_answer_keeps_its_part(start_chat: StartChat, key: str) -> None:
    async with start_chat(answers=["word " * 500], pace=0.01) as chat:
        await chat.type("count")
        await chat.until(lambda: len(chat.texts()) == 2 and "word" in chat.texts()[1], "a part")
        await chat.pilot.press(key)
        await chat.answered()
        assert 0 < chat.texts()[1].count("word") < 500
        assert "stopped by you" in chat.entry(1).footer
        answer = chat.screen.conversation.line()[1]
        assert (answer.content, answer.finish_reason) == (chat.texts()[1], "stopped")


async def test_retry_makes_a_branch_that_one_can_walk_back_from(start_chat: StartChat) -> None:
    async with start_chat(answers=["first", "second"]) as chat:
        await chat.ask("say something")
        await chat.pilot.press("ctrl+r")
        await chat.answered()
        assert chat.texts() == ["say something", "second"]
        assert chat.entry(1).badge == "‹2/2›"
        await chat.pilot.press("ctrl+up", "left")
        assert chat.texts() == ["say something", "first"]
        assert chat.entry(1).badge == "‹1/2›"
        await chat.pilot.press("right")
        assert chat.texts() == ["say something", "second"]


async def test_edit_asks_anew_and_overwrites_nothing(start_chat: StartChat) -> None:
    async with start_chat(answers=["a1", "a2", "a3"]) as chat:
        await chat.ask("q1")
        await chat.ask("q2")
        await chat.type("/edit")
        await chat.pilot.pause()
        assert chat.screen.input.text == "q2"
        await chat.ask("q2 better")
        assert chat.texts() == ["q1", "a1", "q2 better", "a3"]
        assert chat.entry(2).badge == "‹2/2›"
        branches = chat.screen.conversation.branches(chat.screen.conversation.line()[2].id)
        assert [turn.content for turn in branches] == ["q2", "q2 better"]


async def test_escape_leaves_an_edited_question_as_it_was(start_chat: StartChat) -> None:
    async with start_chat(answers=["a1", "a2"]) as chat:
        await chat.ask("q1")
        await chat.type("/edit")
        await chat.pilot.pause()
        await chat.pilot.press("escape")
        assert chat.screen.input.text == ""
        await chat.ask("q2")
        assert chat.texts() == ["q1", "a1", "q2", "a2"]


async def test_a_worker_that_dies_is_told_and_started_again(start_chat: StartChat, tmp_path: Any) -> None:
    async with start_chat(
        answers=["one two three four five"], crash_at="decode", crash_once=str(tmp_path / "x")
    ) as chat:
        await chat.ask("q1")
        assert chat.texts()[0] == "q1"
        assert "killed by signal 9" in chat.texts()[-1]
        assert chat.entry(-1).role == "error"
        await chat.pilot.press("ctrl+r")
        await chat.answered()
        assert chat.texts()[-1] == "one two three four five"


async def test_a_question_that_does_not_fit_goes_back_into_the_input(start_chat: StartChat) -> None:
    fail = {"prefill": ["prompt_too_long", "the message alone has 9000 tokens, the context 2048", "shorten it"]}
    async with start_chat(fail=fail) as chat:
        await chat.ask("a very long text")
        assert chat.screen.input.text == "a very long text"
        assert chat.texts() == ["the message alone has 9000 tokens, the context 2048\nshorten it"]
        assert chat.screen.conversation.line() == ()


async def test_messages_that_left_the_context_are_told(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"], dropped=[0, 1]) as chat:
        await chat.ask("q")
        assert any("oldest 2 messages were left out" in text for text in chat.texts())


async def test_rating_the_answer_under_the_cursor(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.pilot.press("ctrl+up", "b")
        assert chat.entry(1).badge == "✗ bad"
        await chat.type("/rate good")
        await chat.pilot.pause()
        assert chat.entry(1).badge == "✓ good"
        assert chat.screen.conversation.rating(chat.screen.conversation.line()[1].id) == "good"


async def test_parameters_by_slash_command_and_what_is_wrong_with_them(start_chat: StartChat, tmp_path: Any) -> None:
    record = tmp_path / "requests.jsonl"
    async with start_chat(answers=["x"], record=str(record)) as chat:
        await chat.type("/set temperature 0")
        await chat.pilot.pause()
        await chat.type("/set top_p 7")
        await chat.until(lambda: chat.texts(), "an error")
        assert "top_p" in chat.texts()[-1]
        await chat.type("/system Answer in Chinese.")
        await chat.pilot.pause()
        await chat.ask("hi")
    request = next(json.loads(line) for line in record.read_text().splitlines() if '"generate"' in line)
    assert request["rows"][0]["messages"][0] == {"role": "system", "content": "Answer in Chinese."}
    assert request["sampling"].get("temperature", 0.0) == 0.0


async def test_settings_panel_tells_a_wrong_value_beside_its_row_and_uses_right_ones(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press("ctrl+s")
        await chat.pilot.pause()
        from textual.widgets import Input

        from tui.forms import OptionRow

        row = next(row for row in chat.screen.query(OptionRow) if row.spec.name == "temperature")
        row.query_one(Input).value = "hot"
        await chat.pilot.pause()
        assert row.has_class("-wrong")
        assert chat.screen.options.temperature == 0.0
        row.query_one(Input).value = "0.25"
        await chat.pilot.pause()
        assert not row.has_class("-wrong")
        assert chat.screen.options.temperature == 0.25
        await chat.pilot.press("escape")
        assert chat.screen.input.has_focus


async def test_the_chosen_model_is_remembered(start_chat: StartChat, chat_workspace: Workspace) -> None:
    async with start_chat() as chat:
        await chat.type("/model other")
        await chat.until(lambda: chat.screen.conversation.columns[0].model == "other", "the other model")
    assert load_state(chat_workspace)["speaker"] == {"model": "other"}
    async with start_chat() as chat:
        assert chat.screen.conversation.columns[0].model == "other"


async def test_resume_opens_the_last_conversation(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("remember me")
    async with start_chat(answers=["b"]) as chat:
        await chat.type("/resume")
        await chat.until(lambda: chat.texts() == ["remember me", "a"], "the conversation")
        await chat.ask("again")
        assert chat.texts() == ["remember me", "a", "again", "b"]


async def test_clear_says_what_people_know_and_keeps_the_file(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        path = chat.screen.conversation.path
        await chat.type("clear")
        await chat.until(lambda: chat.texts() == [], "an empty transcript")
        assert [toast.message for toast in chat.app._notifications] == ["History has been removed."]
    assert [turn.content for turn in open_conversation(path).line()] == ["q", "a"]


async def test_the_exact_prompt_is_shown_with_its_tokens(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ready()
        chat.screen.input.text = "hello there"
        await chat.pilot.press("f9")
        await chat.until(lambda: chat.app.screen is not chat.screen, "the prompt")
        assert "hello there" in chat.app.screen.rendered.text
        assert "tokens" in chat.app.screen._title().plain


async def test_export_writes_a_file_and_overwrites_none(
    start_chat: StartChat, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.type("/export messages out.jsonl")
        await chat.until((tmp_path / "out.jsonl").exists, "the file")
        await chat.type("/export messages out.jsonl")
        await chat.until(lambda: "File exists" in chat.texts()[-1], "the refusal")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["messages"] == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


async def test_without_a_model_the_welcome_offers_one(tmp_path: Any) -> None:
    from tui.app import FinetuiApp
    from tui.widgets.welcome import Welcome

    app = FinetuiApp(Workspace(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_true(pilot, lambda: app.screen.query("Welcome:focus"), "the welcome")
        assert app.screen.query_one(Welcome).has_focus
        assert app.chat is not None
        assert not app.chat.input.display


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 10)])
async def test_every_size_has_room_for_the_input_and_the_answer(start_chat: StartChat, size: tuple[int, int]) -> None:
    async with start_chat(size=size, answers=["ok"]) as chat:
        await chat.ask("hi")
        assert chat.screen.input.size.height >= 1
        assert chat.screen.views[0].transcript.size.height >= 3
        assert chat.screen.query_one("StatusBar").size.width <= size[0]


async def test_an_answer_that_cannot_be_kept_stays_on_the_screen_and_says_why(start_chat: StartChat) -> None:
    async with start_chat(answers=["word " * 30], pace=0.01) as chat:
        await chat.type("count")
        await chat.until(lambda: len(chat.texts()) == 2 and "word" in chat.texts()[1], "a part")
        chat.screen.conversation.path.unlink()
        await chat.answered()
        assert chat.texts()[1].count("word") == 30
        assert chat.entry(1).footer == "not kept"
        assert "is gone: nothing more can be written" in chat.texts()[-1]
        await chat.type("/new")
        await chat.until(lambda: chat.texts() == [], "a new conversation")
        await chat.ask("again")
        assert chat.texts()[1].count("word") == 30


async def test_a_second_enter_while_an_answer_begins_loses_nothing(start_chat: StartChat) -> None:
    async with start_chat(answers=["word " * 500], pace=0.02) as chat:
        await chat.type("one")
        await chat.type("two")
        await chat.pilot.pause()
        assert chat.screen.input.text == "two"
        assert chat.texts()[0] == "one"
        await chat.pilot.press("escape")
        await chat.answered()
        assert len(chat.screen.conversation.line()) in (1, 2)
        assert chat.screen.input.text == "two"


async def test_a_conversation_that_is_renamed_is_searched_by_its_title(start_chat: StartChat) -> None:
    from textual.widgets import Input, OptionList

    from tui.widgets.session_list import SessionList

    async with start_chat(answers=["a"]) as chat:
        await chat.ask("first question")
        await chat.pilot.press("ctrl+l", "r")
        await chat.until(lambda: chat.app.screen is not chat.screen, "the dialog")
        chat.app.screen.query_one(Input).value = "My experiment"
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.screen.conversation.title == "My experiment", "the title")
        panel = chat.screen.query_one(SessionList)
        panel.query_one(Input).value = "experiment"
        await chat.until(lambda: panel.query_one(OptionList).option_count == 1, "the found one")
        panel.query_one(Input).value = "nothing like it"
        await chat.until(lambda: panel.query_one(OptionList).option_count == 0, "nothing")


async def test_a_deleted_conversation_comes_back(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("keep me")
        path = chat.screen.conversation.path
        await chat.pilot.press("ctrl+l")
        await chat.until(lambda: chat.screen.focused is not chat.screen.input, "the list")
        await chat.pilot.press("d")
        await chat.until(lambda: not path.exists(), "the deletion")
        await chat.until(lambda: chat.texts() == [], "an empty chat")
        await chat.pilot.press("u")
        await chat.until(path.exists, "the file again")


async def test_a_question_that_did_not_fit_leaves_no_trace(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"], context_length=20) as chat:
        await chat.ask("word " * 40)
        assert chat.screen.input.full_text.startswith("word word")
        chat.screen.input.text = ""
        await chat.ask("short")
        assert [turn.content for turn in chat.screen.conversation.line()] == ["short", "a"]
        assert chat.screen.conversation.title == "short"
        assert [entry.badge for entry in chat.screen.views[0].transcript.entries if entry.role == "user"] == [""]


async def test_a_mistake_in_a_command_goes_back_into_the_input_with_what_is_near(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        for typed, told in (("/adapter tunde", "did you mean 'tuned'?"), ("/model othre", "did you mean 'other'?")):
            await chat.type(typed)
            await chat.until(lambda told=told: chat.texts() and told in chat.texts()[-1], told)
            assert chat.screen.input.text == typed
            chat.screen.input.text = ""


async def test_the_status_line_says_that_an_answer_is_under_way(start_chat: StartChat) -> None:
    from tui.widgets.status_bar import StatusBar

    async with start_chat(answers=["word " * 500], pace=0.01) as chat:
        await chat.ready()
        bar = chat.screen.query_one(StatusBar)
        await chat.type("count")
        await chat.until(lambda: "esc stops" in bar.status.phase, "the phase")
        await chat.pilot.press("escape")
        await chat.answered()
        assert bar.status.phase == ""
