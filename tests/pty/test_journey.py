"""From an empty folder to a real conversation, with the real model on a real terminal: what a person does first."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.chat.session import Conversation, Turn
from core.chat.store import SessionStore
from finetui_app import INPUT, start_finetui
from terminal import Terminal

pytestmark = pytest.mark.slow
MINUTES = 60.0
_FIRST = "What is the capital of France?"


def newest(workspace: Path) -> Conversation:
    store = SessionStore(workspace / "sessions")
    return store.open(store.list()[0].path)


def answers(workspace: Path, column: int = 0) -> list[Turn]:
    """The finished answers of the newest conversation's active line."""
    has_begun = (workspace / "sessions").is_dir() and SessionStore(workspace / "sessions").list()
    turns = newest(workspace).line(column) if has_begun else ()
    return [turn for turn in turns if turn.role == "assistant"]


def send(app: Terminal, text: str) -> None:
    app.wait_for(INPUT)
    app.type(text)
    app.wait_for(text)
    app.press("enter")


def ask(app: Terminal, workspace: Path, text: str) -> Turn:
    """Ask, wait until the answer is complete, return it."""
    before = len(answers(workspace))
    send(app, text)
    return await_answers(app, workspace, [before])[0]


def await_answers(app: Terminal, workspace: Path, before: list[int]) -> list[Turn]:
    """Wait until every column has more answers than before; return the last of each."""
    counts = range(len(before))
    app.wait_until(lambda: all(len(answers(workspace, c)) > before[c] for c in counts), "the answer", 3 * MINUTES)
    return [answers(workspace, column)[-1] for column in counts]


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the tests of this module share: each begins where the one before ended."""
    return tmp_path_factory.mktemp("journey")


@pytest.fixture
def app(journey: Path, start: Callable[..., Terminal]) -> Terminal:
    """The app in that folder, the conversation of the test before opened again, answers without chance."""
    app = start(journey)
    app.wait_for(INPUT)
    if list((journey / "sessions").glob("*.jsonl")):
        send(app, "/resume")
        app.wait_for("tok/s")
    send(app, "/set temperature 0")
    app.wait_for(INPUT)
    return app


def leave(app: Terminal) -> None:
    app.press("ctrl+q")
    app.assert_ends()
    assert app.left_behind() == []
    app.assert_all_gone()


def test_1_an_empty_folder_welcomes_and_one_key_fetches_the_model(journey: Path) -> None:
    with start_finetui(journey) as app:
        for said in ("Welcome to finetui", "SmolLM2-135M-Instruct", "MB to download", "MB on disk", "apache-2.0"):
            app.wait_for(said)
        app.press("enter")
        app.wait_for("%")
        app.wait_for(INPUT, 5 * MINUTES)
        assert [folder.name for folder in (journey / "models").iterdir() if not folder.name.startswith(".")]
        answer = ask(app, journey, _FIRST)
        assert "Paris" in answer.content
        assert answer.finish_reason == "stop"
        app.wait_for("Paris")
        leave(app)


def test_2_a_second_turn_uses_the_first(journey: Path, app: Terminal) -> None:
    if not answers(journey):
        pytest.skip("the model could not be fetched")
    retold = await_retry(app, journey)
    assert retold.content == "The capital of France is Paris."
    second = ask(app, journey, "In which country is that city?")
    assert "Paris is the capital of France" in second.content
    assert second.usage is not None
    assert second.usage.reused_tokens >= 40, "the first turn was prefilled again"
    leave(app)


def await_retry(app: Terminal, workspace: Path) -> Turn:
    """Answer the last question anew; wait for the second branch."""
    old = answers(workspace)[-1]
    app.press("ctrl+r")
    app.wait_until(lambda: answers(workspace) and answers(workspace)[-1].id != old.id, "another answer", 3 * MINUTES)
    app.wait_for("‹2/2›")
    new = answers(workspace)[-1]
    assert [turn.id for turn in newest(workspace).branches(new.id)] == [old.id, new.id]
    return new


def test_3_a_question_is_edited_and_both_versions_stay(journey: Path, app: Terminal) -> None:
    question = newest(journey).line()[-2]
    send(app, "/edit")
    app.wait_for("enter asks it anew")
    app.press("f7", "backspace")
    app.type("What is the capital of Italy?")
    before = {turn.id for turn in newest(journey).line()}
    app.press("enter")

    def answered() -> bool:
        last = newest(journey).line()[-1]
        return last.role == "assistant" and last.id not in before

    app.wait_until(answered, "the answer", 3 * MINUTES)
    assert "Rome" in newest(journey).line()[-1].content
    new = newest(journey).line()[-2]
    assert new.id not in before
    assert [turn.content for turn in newest(journey).branches(new.id)] == [question.content, new.content]
    leave(app)


def test_4_a_long_answer_streams_and_is_stopped(journey: Path, app: Terminal) -> None:
    send(app, "Write a long story about a fox.")
    seen: set[int] = set()

    def grows(shown: str) -> bool:
        words = len(shown.rpartition("about a fox.")[2].split())
        seen.add(words if words > 60 else 0)  # the input and the status bar are some 35
        return len(seen) >= 6

    app.wait_for(grows)
    app.press("escape")
    app.wait_for("stopped by you")
    part = newest(journey).line()[-1]
    assert part.finish_reason == "stopped"
    assert len(part.content) > 40
    leave(app)


def test_5_base_and_adapter_side_by_side_and_resumed_after_a_kill(journey: Path, app: Terminal) -> None:
    (model,) = (folder for folder in (journey / "models").iterdir() if (folder / "config.json").exists())
    trainer = [sys.executable, Path(__file__).with_name("train_adapter.py"), model, journey / "runs" / "sailor"]
    subprocess.run(trainer, check=True, capture_output=True)

    send(app, "/compare base sailor")
    app.wait_for(lambda shown: " 2 " in shown and "sailor" in shown and shown.count("about a fox.") == 1)
    app.press("f7", "backspace")  # the last question, offered to be asked again
    send(app, _FIRST)
    base, sailor = await_answers(app, journey, [0, 0])
    assert base.content == "The capital of France is Paris."
    assert sailor.content == "Ahoy! It be Paris, matey."
    app.wait_for(lambda shown: base.content in shown and sailor.content in shown)

    send(app, "/keep 2")
    app.wait_until(lambda: list((journey / "data").glob("preferences*.json*")), "the pair", MINUTES)
    (file,) = (file for file in (journey / "data").glob("preferences*.json*"))
    pair = json.loads(file.read_text().splitlines()[0])
    assert sailor.content in json.dumps(pair["chosen"])
    assert base.content in json.dumps(pair["rejected"])

    app.signal(signal.SIGKILL)
    app.wait()
    app.assert_all_gone()
    with start_finetui(journey) as again:
        send(again, "/resume")
        again.wait_for(lambda shown: base.content in shown and sailor.content in shown)
        leave(again)
