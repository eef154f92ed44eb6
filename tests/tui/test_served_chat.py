"""Served models in the chat and in `finetui chat`: chosen, compared, stopped, remembered without their key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from chat_app import Chat, StartChat
from commands import Run, runner
from core.chat.session import Column
from core.chat.store import SessionStore
from core.report.catalog import list_reports
from core.report.report import Subject
from core.serve.remembered import remember_server
from core.serve.remote_address import Server
from core.workspace import Workspace, load_state
from scripted_reports import evaluation, predictions
from served import ServedFake, Turn, free_port_base
from tui.app import FinetuiApp
from tui.evaluation_table import listed
from tui.screens.picker import Picker
from tui.screens.prompt import PromptScreen
from tui.widgets.status_bar import StatusBar

KEY = "sk-secret-0123456789"


def host(fake: ServedFake) -> str:
    return fake.api_base.split("/")[2]


async def use(chat: Chat, name: str) -> None:
    """Have a served model answer, and wait for it."""
    await chat.type(f"/model {name}")
    await chat.until(lambda: chat.screen.conversation.columns[0].model.startswith("http"), "the served model")
    await chat.ready()


def said(chat: Chat) -> str:
    """Every error and note that the first column shows."""
    return "\n".join(f"{entry.title} {entry.text} {entry.footer}" for entry in chat.screen.views[0].transcript.entries)


async def test_a_served_model_is_chosen_by_its_address_and_answers(
    start_chat: StartChat, chat_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ServedFake(always=Turn(thinking="Hm."), key=KEY) as fake:
        async with start_chat() as chat:
            await use(chat, f"{fake.api_base} echo")
            bar = chat.screen.query_one(StatusBar)
            await chat.until(lambda: bar.status.context_length == 4096, "the server's context")
            assert bar.status.model == f"echo @ {host(fake)}"
            await chat.ask("hello")
            await chat.ask("again")
            assert chat.entry(1).title == f"echo @ {host(fake)}"
            assert [m["content"] for m in fake.requests[-1]["body"]["messages"]] == [
                "hello",
                "you said: hello",
                "again",
            ]
        assert load_state(chat_workspace)["served"] == {f"{fake.api_base}#echo": "OPENAI_API_KEY"}
        assert load_state(chat_workspace)["speaker"]["model"] == f"{fake.api_base}#echo"
        kept = "".join(
            path.read_text() for path in chat_workspace.root.rglob("*") if path.suffix in (".json", ".jsonl")
        )
        assert "you said: hello" in kept
        assert KEY not in kept
        async with start_chat() as chat:
            await chat.ready()
            assert chat.screen.conversation.columns[0].model == f"{fake.api_base}#echo", "the model of the last time"


async def test_of_several_models_one_is_picked(start_chat: StartChat) -> None:
    with ServedFake(models=[{"id": "small"}, {"id": "large"}]) as fake:
        async with start_chat() as chat:
            await chat.type(f"/model {fake.api_base}")
            await chat.until(lambda: isinstance(chat.app.screen, Picker), "the picker")
            options = chat.app.screen.query_one(OptionList)
            rows = [str(options.get_option_at_index(index).prompt) for index in range(options.option_count)]
            assert [row.strip() for row in rows] == [f"small @ {host(fake)}", f"large @ {host(fake)}"]
            await chat.pilot.press("down", "enter")
            await chat.ready()
            assert chat.screen.conversation.columns[0].model == f"{fake.api_base}#large"
            await chat.pilot.press("ctrl+g")
            await chat.until(lambda: isinstance(chat.app.screen, Picker), "the picker")
            names = [choice.model for choice in chat.app.screen._all]
            assert names == ["demo", "demo", "other", f"{fake.api_base}#large"]


async def test_a_local_and_a_served_model_answer_side_by_side(start_chat: StartChat, chat_workspace: Workspace) -> None:
    with ServedFake() as fake:
        remember_server(chat_workspace, Server(fake.api_base, "echo"))
        async with start_chat(answers=["Local words."]) as chat:
            await chat.type(f"/compare demo {fake.api_base}#echo")
            await chat.until(lambda: len(chat.screen.views) == 2, "two columns")
            await chat.pilot.pause()
            await chat.ask("hello")
            assert chat.texts(0)[-1] == "Local words."
            assert chat.texts(1)[-1] == "you said: hello"
            assert chat.screen.views[1].name_shown == f"echo @ {host(fake)}"


async def test_a_stop_keeps_the_part(start_chat: StartChat) -> None:
    with ServedFake(turns={"long": [Turn(text="one two three", ends="silent")]}) as fake:
        async with start_chat() as chat:
            await use(chat, fake.api_base)
            await chat.type("long")
            await chat.until(lambda: chat.texts()[-1] == "one two three", "the part")
            await chat.pilot.press("escape")
            await chat.answered()
            assert chat.texts()[-1] == "one two three"
            assert "stopped by you" in chat.entry(-1).footer
            await chat.ask("more")
            assert chat.texts()[-1] == "you said: more"


async def test_trouble_is_a_message_and_the_next_question_is_answered(start_chat: StartChat) -> None:
    broken = {"torn": [Turn(text="a b c d", ends="mid_stream")], "bad": [Turn(status=400)]}
    with ServedFake(turns=broken) as fake:
        async with start_chat() as chat:
            await use(chat, fake.api_base)
            await chat.ask("torn")
            assert "a b" in chat.texts()
            assert "the server broke the answer off" in said(chat)
            await chat.ask("bad")
            assert "answered with status 400: the fake says 400" in said(chat)
            await chat.ask("fine")
            assert chat.texts()[-1] == "you said: fine"


@pytest.mark.parametrize("name", ["", " echo"])
async def test_a_server_that_is_not_there_is_said_where_it_was_typed(
    start_chat: StartChat, chat_workspace: Workspace, name: str
) -> None:
    async with start_chat() as chat:
        await chat.type(f"/model {free_port_base()}{name}")
        await chat.until(lambda: notices(chat), "the error")
        assert any("cannot be reached: Connection refused" in text for text in notices(chat))
        assert chat.screen.conversation.columns[0].model == "demo"
    assert "served" not in load_state(chat_workspace)


def notices(chat: Chat) -> list[str]:
    return [f"{notice.title} {notice.message}" for notice in chat.app._notifications]


async def test_a_conversation_from_elsewhere_calls_nobody(start_chat: StartChat, chat_workspace: Workspace) -> None:
    """Its file may name any address; a key would go there."""
    with ServedFake() as fake:
        store = SessionStore(chat_workspace.sessions)
        theirs = store.create(columns=[Column(0, f"{fake.api_base}#echo", None, "")])
        theirs.append("user", "hello")
        async with start_chat() as chat:
            await chat.type("/resume")
            await chat.until(lambda: "is no served model of this workspace" in said(chat), "the refusal")
            await chat.ask("are you there?")
            assert f"/model {fake.api_base}#echo makes it one" in said(chat)
        assert fake.requests == []


async def test_the_prompt_view_says_that_the_server_makes_the_prompt(start_chat: StartChat) -> None:
    with ServedFake() as fake:
        async with start_chat() as chat:
            await use(chat, fake.api_base)
            chat.screen.input.text = "hello"
            await chat.pilot.press("f9")
            await chat.until(lambda: isinstance(chat.app.screen, PromptScreen), "the prompt")
            await chat.pilot.pause()
            shown = "\n".join(str(static.render()) for static in chat.app.screen.query(Static))
    assert "the server makes the prompt: this is what it is sent" in shown
    assert '"content": "hello"' in shown
    assert "0 tokens" not in shown


async def test_a_workspace_without_models_starts_with_its_served_one(tmp_path: Path) -> None:
    with ServedFake() as fake:
        remember_server(Workspace(tmp_path), Server(fake.api_base, "echo"))
        app = FinetuiApp(Workspace(tmp_path))
        async with app.run_test(size=(120, 36)) as pilot:
            chat = Chat(app, pilot)
            await chat.until(lambda: chat.screen and chat.screen.conversation.columns[0].model, "a chosen model")
            await chat.ask("hello")
            assert chat.texts()[-1] == "you said: hello"


def test_a_served_model_stands_in_the_table_with_its_host_and_no_adapter(tmp_path: Path) -> None:
    served = Subject("m @ host:1", "m", path="http://host:1/v1")
    evaluation(tmp_path / "runs" / "asked", predictions(["a"], ["a"]), subject=served)
    (row,) = listed(list_reports(Workspace(tmp_path)), {})
    assert (row.model, row.adapter) == ("m @ host:1", "")


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return runner(capsys, "chat")


def test_the_command_asks_a_server(ask: Any, tmp_path: Path) -> None:
    with ServedFake(key=KEY) as fake:
        done: Run = ask("--api_base", fake.api_base, "--json", "--prompt", "hello", "--save", "--temperature", "0.5")
    (record,) = done.records
    assert (done.code, record["content"], record["model"]) == (0, "you said: hello", f"{fake.api_base}#echo")
    assert fake.requests[0]["body"]["temperature"] == 0.5
    assert load_state(Workspace(tmp_path))["served"] == {f"{fake.api_base}#echo": "OPENAI_API_KEY"}
    (session,) = (tmp_path / "sessions").iterdir()
    header = json.loads(session.read_text().splitlines()[0])
    assert header["columns"][0]["label"] == f"echo @ {host(fake)}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--api_model", "ecko"), "has no model ecko\nhint: did you mean 'echo'? it has: echo"),
        (("--dtype", "float32"), "--dtype: a served model cannot be asked for that\nhint: leave it out, or leave api"),
        (("--adapter", "sft"), "--adapter: a served model cannot be asked for that"),
        (("--api_key_variable", "OTHER_KEY"), "hint: it wants a key: put it into OTHER_KEY"),
    ],
)
def test_what_a_server_cannot_do_is_said(ask: Any, words: tuple[str, ...], told: str) -> None:
    with ServedFake(key=KEY) as fake:
        done: Run = ask("--api_base", fake.api_base, *words, "--prompt", "hello")
    assert done.code == 2
    assert told in done.err
    assert KEY not in done.err + done.out
    assert done.out == ""


def test_what_changes_nothing_is_said(ask: Any) -> None:
    with ServedFake() as fake:
        done: Run = ask("--api_base", fake.api_base, "--api_concurrency", "3", "--prompt", "hello")
    assert "warning: api_concurrency changes nothing here" in done.err
    assert done.out.startswith("you said: hello")
