"""The chat when something is in the way: files that cannot be written, garbage, haste, hostile text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from textual.widgets import Input, OptionList, TextArea

from core.chat.session import open_conversation
from core.chat.store import SessionStore
from core.workspace import Workspace
from folders import make_adapter
from tui.forms import OptionRow
from tui.widgets.inert_inputs import InertInput
from tui.widgets.session_list import SessionList
from tui.widgets.status_bar import StatusBar

StartChat = Any


def toasts(chat: Any) -> list[str]:
    return [f"{toast.title}: {toast.message}" for toast in chat.app._notifications]


@pytest.mark.parametrize(
    "state",
    [
        {"speaker": []},
        {"speaker": {"model": []}},
        {"speaker": {"model": "demo", "adapter": {}}},
        {"generation": []},
        {"generation": {"temperature": "hot", "nonsense": 1}},
        {"theme": 7, "single_turn": ""},
    ],
)
async def test_garbage_in_the_memory_of_the_workspace_counts_as_not_said(
    start_chat: StartChat, chat_workspace: Workspace, state: dict[str, Any]
) -> None:
    chat_workspace.make_state_folder()
    chat_workspace.state_file.write_text(json.dumps(state))
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        assert chat.texts() == ["q", "a"]
        assert chat.screen.options.temperature == 0.0


async def test_a_workspace_that_remembers_nothing_is_told_once_and_answers(
    start_chat: StartChat, chat_workspace: Workspace
) -> None:
    chat_workspace.state.write_text("a file where a folder should be")
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.pilot.press("f8")
        await chat.type("/set temperature 0.5")
        await chat.until(lambda: chat.screen.options.temperature == 0.5, "the temperature")
        assert chat.texts() == ["q", "a"]
        assert chat.screen.single_turn
        assert sum("cannot write" in toast for toast in toasts(chat)) == 1


async def test_a_copy_that_no_file_takes_still_goes_to_the_terminal(
    start_chat: StartChat, chat_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with start_chat(answers=["the answer"]) as chat:
        await chat.ask("q")
        (chat_workspace.state / "clipboard.txt").mkdir()
        await chat.pilot.press("ctrl+y")
        await chat.until(lambda: toasts(chat), "a toast")
        assert toasts(chat) == [": 10 characters sent to the terminal's clipboard, but into no file: Is a directory"]
        assert chat.app.clipboard == "the answer"


async def test_an_app_that_cannot_keep_the_part_still_ends(start_chat: StartChat) -> None:
    async with start_chat(answers=["word " * 500], pace=0.01) as chat:
        await chat.type("count")
        await chat.until(lambda: len(chat.texts()) == 2 and "word" in chat.texts()[1], "a part")
        chat.screen.conversation.path.unlink()
        await chat.pilot.press("ctrl+q")
        await chat.until(lambda: chat.app._exit, "the end")
        assert "is gone: nothing more can be written" in str(chat.app._exit_renderables[0])


async def test_an_export_to_the_home_of_nobody_is_refused_and_nothing_makes_no_file(
    start_chat: StartChat, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with start_chat(answers=["a"]) as chat:
        before = sorted(tmp_path.iterdir())
        await chat.type("/export")
        await chat.until(lambda: ": There is nothing to export yet." in toasts(chat), "a toast")
        assert sorted(tmp_path.iterdir()) == before
        await chat.ask("q")
        await chat.type("/export markdown ~nobody-of-that-name/x.md")
        await chat.until(lambda: "No such file" in chat.texts()[-1], "the refusal")


async def test_an_edit_ends_with_its_conversation(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("one")
        await chat.ask("two")
        await chat.type("/edit")
        await chat.until(lambda: chat.screen.editing, "the edit")
        await chat.pilot.press("ctrl+n")
        await chat.pilot.pause()
        await chat.ask("fresh")
        assert chat.texts() == ["fresh", "a"]


async def test_a_load_that_fails_leaves_no_clock_running(start_chat: StartChat) -> None:
    async with start_chat(fail={"load": ["model", "the weights are bad", "pull it again"]}) as chat:
        await chat.until(lambda: any("weights are bad" in text for text in chat.texts()), "the error")
        await chat.ask("q")
        assert chat.texts().count("the weights are bad\npull it again") == 2
        assert chat.screen.query_one(StatusBar).status.phase == ""
        assert chat.screen._phase_timer is None


async def test_what_is_asked_right_after_a_stop_can_be_stopped_too(start_chat: StartChat) -> None:
    async with start_chat(answers=["word " * 300], pace=0.01, prefill_seconds=0.1) as chat:
        await chat.ready()
        await chat.type("one")
        await chat.until(lambda: chat.screen.exchange, "the first question")
        await chat.screen.stop_answer()
        chat.screen.ask("two")
        await chat.until(lambda: chat.screen.exchange and chat.screen.exchange.started, "the second question")
        await chat.pilot.press("escape")
        await chat.answered()
        assert chat.screen.conversation.line()[-1].finish_reason == "stopped"


async def test_stopping_a_comparison_also_stops_who_is_still_loading(start_chat: StartChat, tmp_path: Any) -> None:
    record = tmp_path / "requests.jsonl"
    async with start_chat(answers=["word " * 300], pace=0.01, phase_seconds=0.6, record=str(record)) as chat:
        await chat.ready()
        await chat.type("/compare demo other")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        await chat.type("count")
        await chat.until(lambda: "word" in chat.texts(0)[-1], "the first answer")
        await chat.pilot.press("escape")
        await chat.answered()
        assert chat.screen.conversation.line(0)[-1].finish_reason == "stopped"
        assert chat.texts(1)[-1] == "stopped before the answer began"
    assert record.read_text().count('"generate"') == 1


async def test_an_adapter_that_does_not_fit_silences_only_its_own_column(
    start_chat: StartChat, chat_workspace: Workspace
) -> None:
    make_adapter(chat_workspace.models / "foreign", "elsewhere/base")
    async with start_chat(answers=["a"]) as chat:
        await chat.ready()
        await chat.type("/compare base foreign")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        (chat_workspace.models / "foreign" / "adapter_config.json").unlink()
        chat.screen.driver.loaded("demo").adapters.pop("foreign", None)
        await chat.ask("q")
        assert chat.texts(0)[-1] == "a"
        assert "foreign" in chat.texts(1)[-1]
        assert chat.entry(-1, 1).role == "error"


async def test_one_name_is_compared_with_who_answers_now_and_five_are_too_many(start_chat: StartChat) -> None:
    async with start_chat(answers=["a"]) as chat:
        await chat.type("/compare base base tuned tuned other")
        await chat.until(lambda: chat.texts() and "5 to compare are too many" in chat.texts()[-1], "the refusal")
        await chat.type("/compare tuned")
        await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
        assert [column.adapter for column in chat.screen.conversation.columns] == [None, "tuned"]


async def test_the_open_settings_show_what_is_set_elsewhere(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press("ctrl+s")
        await chat.pilot.pause()
        await chat.type("/set temperature 0.5")
        await chat.until(lambda: chat.screen.options.temperature == 0.5, "the temperature")
        rows = {row.spec.name: row.query_one(Input) for row in chat.screen.query(OptionRow)}
        rows["top_p"].value = "0.25"
        await chat.until(lambda: chat.screen.options.top_p == 0.25, "top_p")
        assert (rows["temperature"].value, chat.screen.options.temperature) == ("0.5", 0.5)
        await chat.type("/system be short")
        await chat.until(lambda: chat.screen.query_one("SettingsPanel TextArea").text == "be short", "the prompt")


async def test_hostile_texts_in_inputs_are_inert(start_chat: StartChat) -> None:
    hostile = "x\x1b]52;c;aGk=\x07\x9b31m"
    async with start_chat() as chat:
        chat.screen.conversation.set_system(hostile)
        await chat.pilot.press("ctrl+s")
        await chat.pilot.pause()
        area = chat.screen.query_one("SettingsPanel TextArea", TextArea)
        assert area.text == "x␛]52;c;aGk=␇<U+009B>31m"
        assert chat.screen.conversation.system == hostile
        assert InertInput(hostile + "\n").value == area.text + " "


async def test_the_list_keeps_its_highlight_when_another_conversation_comes_first(
    start_chat: StartChat, chat_workspace: Workspace
) -> None:
    store = SessionStore(chat_workspace.sessions)
    paths = []
    for question in ("older", "newer"):
        conversation = store.create()
        conversation.append("user", question)
        assert conversation.path is not None
        paths.append(conversation.path)
    async with start_chat() as chat:
        panel = chat.screen.query_one(SessionList)
        options = panel.query_one(OptionList)
        await chat.until(lambda: options.option_count == 2, "the list")
        options.highlighted = 0
        highlighted = panel._current().path
        other = next(path for path in paths if path != highlighted)
        open_conversation(other).append("user", "once more")
        panel.reload()
        await chat.until(lambda: panel._shown[0].path == other, "the new order")
        assert panel._current().path == highlighted


async def test_a_conversation_with_a_broken_line_names_it_and_the_open_one_stays(
    start_chat: StartChat, chat_workspace: Workspace
) -> None:
    broken = SessionStore(chat_workspace.sessions).create()
    broken.append("user", "kept")
    assert broken.path is not None
    lines = broken.path.read_text().splitlines()
    broken.path.write_text("\n".join([lines[0], "{broken", *lines[1:]]) + "\n")
    async with start_chat(answers=["a"]) as chat:
        await chat.ask("q")
        await chat.screen.open(next(one for one in chat.screen.store.list() if one.path == broken.path))
        assert f"{broken.path.name}:2" in chat.texts()[-1]
        await chat.ask("again")
        assert chat.texts()[-2:] == ["again", "a"]


async def test_another_app_in_the_same_conversation_is_seen_when_the_terminal_gets_the_focus(
    start_chat: StartChat,
) -> None:
    from textual import events

    async with start_chat(answers=["a"]) as chat:
        await chat.ask("mine")
        open_conversation(chat.screen.conversation.path).append("user", "theirs")
        chat.app.post_message(events.AppFocus())
        await chat.until(lambda: chat.texts() == ["mine", "a", "theirs"], "the other's words")


async def test_a_key_that_opens_help_closes_it(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        await chat.pilot.press("f1")
        await chat.until(lambda: chat.app.screen is not chat.screen, "the help")
        await chat.pilot.press("f1")
        await chat.until(lambda: chat.app.screen is chat.screen, "the chat")


async def test_an_answer_goes_on_behind_the_models_screen(start_chat: StartChat) -> None:
    async with start_chat(answers=["word " * 200], pace=0.01) as chat:
        await chat.type("count")
        await chat.until(lambda: chat.screen.exchange, "the question")
        await chat.pilot.press("f6")
        await chat.until(lambda: chat.app.screen is not chat.screen, "the models")
        await chat.until(lambda: chat.screen.exchange is None, "the answer")
        await chat.pilot.press("f2")
        await chat.until(lambda: chat.app.screen is chat.screen, "the chat")
        assert chat.texts()[-1].count("word") == 200


async def test_the_palette_offers_what_can_be_done_here(start_chat: StartChat) -> None:
    from tui.palette_commands import Actions

    async with start_chat() as chat:
        here = Actions(chat.screen)
        system = next(action for action in here._offered() if action.name == "system")
        here._run(system)
        assert chat.screen.input.text == "/system "
        await chat.pilot.press("f6")
        await chat.until(lambda: chat.app.screen is not chat.screen, "the models")
        assert {action.scope for action in Actions(chat.app.screen)._offered()} == {"app"}


async def test_greedy_answers_are_shown_as_temperature_0(start_chat: StartChat) -> None:
    async with start_chat() as chat:
        bar = chat.screen.query_one(StatusBar)
        await chat.type("/set temperature 0.7")
        await chat.until(lambda: bar.status.temperature == 0.7, "the temperature")
        await chat.type("/set do_sample false")
        await chat.until(lambda: bar.status.temperature == 0.0, "greedy")
