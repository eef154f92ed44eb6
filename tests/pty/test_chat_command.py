"""`finetui chat` on a real terminal, with a scripted worker: what a person types, sees, and gets back at the end."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import fake_worker_command
from folders import make_adapter, make_model
from terminal import Terminal

CLEARED = "History has been removed."


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_model(tmp_path / "models" / "tiny")
    make_adapter(tmp_path / "runs" / "sft", "tiny")
    return tmp_path


def chat(workspace: Path, *options: str, term: str = "xterm-256color", **behaviour: Any) -> Terminal:
    record = {"record": str(workspace / "requests.jsonl")}
    return Terminal(
        [sys.executable, "-P", "-m", "tui", "chat", "--model_name_or_path", "tiny", *options],
        env={
            "FINETUI_WORKER_COMMAND": json.dumps(fake_worker_command(**{**record, **behaviour})),
            "FINETUI_WORKSPACE": str(workspace),
            "TERM": term,
        },
        cwd=workspace,
        cols=100,
    )


def asked(workspace: Path) -> list[list[str]]:
    """The contents of the messages of each answer that was asked for."""
    records = map(json.loads, (workspace / "requests.jsonl").read_text().splitlines())
    return [
        [message["content"] for message in record["rows"][0]["messages"]]
        for record in records
        if record["type"] == "generate"
    ]


def leave(terminal: Terminal) -> None:
    """Press ctrl+d at the prompt: before readline has the terminal, the kernel would take it."""
    terminal.wait_for(lambda text: text.rstrip().endswith("User:"))
    terminal.press("ctrl+d")
    terminal.assert_ends()


def test_a_conversation_from_the_question_of_mode_to_the_end(workspace: Path) -> None:
    with chat(workspace, answers=["Paris.", "It has two million people.", "Again?"]) as terminal:
        terminal.wait_for("Single turn (1) or multi turn (2)?")
        terminal.type("3\n")
        terminal.wait_for("type 1 or 2")
        terminal.type("2\n")
        banner = terminal.wait_for("User:")
        assert "tiny (LlamaForCausalLM, 135M, float32, cpu, " in banner
        assert "adapter: none, the base" in banner
        assert "stop, exit or ctrl+d ends it" in banner
        terminal.type("\n")  # nothing is asked
        terminal.type("What is the capital of France?\n")
        terminal.wait_for("> use time: ")
        terminal.type("How big is it?\n")
        terminal.wait_for(lambda text: text.count("> use time: ") == 2)
        assert "Assistant: It has two million people." in terminal.text()
        terminal.type("clear\n")
        terminal.wait_for(CLEARED)
        terminal.type("Hello\n")
        terminal.wait_for(lambda text: text.count("> use time: ") == 3)
        terminal.type("stop\n")
        terminal.assert_ends()
        assert terminal.left_behind() == []
        terminal.assert_all_gone()
    first = ["What is the capital of France?"]
    assert asked(workspace) == [first, [*first, "Paris.", "How big is it?"], ["Hello"]]


def test_in_single_mode_each_question_stands_alone(workspace: Path) -> None:
    with chat(workspace) as terminal:
        terminal.wait_for("[2]")
        terminal.type("1\n")
        terminal.wait_for("User:")
        for count, question in enumerate(("one", "two"), start=1):
            terminal.type(question + "\n")
            terminal.wait_for(lambda text, count=count: text.count("> use time: ") == count)
        leave(terminal)
    assert asked(workspace) == [["one"], ["two"]]


def test_ctrl_c_stops_the_answer_keeps_the_part_and_never_the_program(workspace: Path) -> None:
    endless = " ".join(f"word{number}" for number in range(4000))
    with chat(workspace, "--mode", "multi", answers=[endless, "Fine."], pace=0.01) as terminal:
        terminal.wait_for("User:")
        terminal.press("ctrl+c")
        terminal.wait_for("(stop, exit or ctrl+d ends the conversation)")
        terminal.type("count\n")
        terminal.wait_for("word3")
        terminal.press("ctrl+c")
        terminal.wait_for("[stopped; the part above is kept]")
        terminal.type("and?\n")
        terminal.wait_for("Fine.")
        leave(terminal)
        terminal.assert_all_gone()
    question, part, following = asked(workspace)[1]
    assert (question, following) == ("count", "and?")
    assert part.startswith("word0 word1 word2 word3")
    assert len(part) < len(endless)


def test_a_worker_that_does_not_stop_is_ended_by_a_second_ctrl_c_and_started_again(workspace: Path) -> None:
    with chat(workspace, "--mode", "multi", answers=["go on " * 5000], pace=0.01, ignore_stop=True) as terminal:
        terminal.wait_for("User:")
        terminal.type("never end\n")
        terminal.wait_for("go on go on")
        terminal.press("ctrl+c", "ctrl+c")
        terminal.wait_for("error: the model's process did not stop")
        terminal.wait_for(lambda text: text.rstrip().endswith("User:"))
        terminal.type("again\n")
        terminal.wait_for(lambda text: text.count("ready in") == 2 and "User: again" in text)
        terminal.wait_for(
            lambda text: text.rpartition("User: again")[2].partition("Assistant: ")[2].startswith("go on")
        )
        terminal.press("ctrl+c", "ctrl+c")
        terminal.wait_for(lambda text: text.rstrip().endswith("User:"))
        terminal.type("stop\n")
        terminal.assert_ends()
        terminal.assert_all_gone()


@pytest.mark.parametrize("place", ["prefill", "decode"])
def test_a_worker_that_dies_is_told_and_started_again(workspace: Path, place: str) -> None:
    crash = {"crash_at": place, "crash_once": str(workspace / "crashed")}
    with chat(workspace, "--mode", "multi", answers=["One two three four five."], **crash) as terminal:
        terminal.wait_for("User:")
        terminal.type("first\n")
        terminal.wait_for("error: the model's process was killed by signal 9: most likely out of memory")
        terminal.type("second\n")
        terminal.wait_for("> use time: ")
        leave(terminal)
        terminal.assert_all_gone()
    assert asked(workspace)[-1] == ["second"]


def test_ctrl_c_while_a_model_loads_ends_the_program(workspace: Path) -> None:
    with chat(workspace, "--mode", "multi", phase_seconds=30) as terminal:
        terminal.wait_for("importing…")
        terminal.press("ctrl+c")
        terminal.assert_ends(130)
        assert "Traceback" not in terminal.text()
        terminal.assert_all_gone()


def test_ctrl_c_in_a_single_answer_keeps_the_part_and_ends_with_130(workspace: Path) -> None:
    with chat(workspace, "--prompt", "count", answers=["one two three " + "more " * 5000], pace=0.01) as terminal:
        terminal.wait_for("one two three")
        terminal.press("ctrl+c")
        assert terminal.wait() == 130
        assert "[stopped; the part above is kept]" in terminal.text()
        terminal.assert_all_gone()


def test_a_dumb_terminal_gets_text_and_nothing_else(workspace: Path) -> None:
    hostile = "red \x1b[31mtext\x07 [b]bold[/b] \x1b]52;c;eA==\x07"
    with chat(workspace, "--mode", "single", term="dumb", answers=[hostile]) as terminal:
        terminal.wait_for("User:")
        terminal.type("hi\n")
        terminal.wait_for("> use time: ")
        terminal.type("exit\n")
        terminal.assert_ends()
        assert "red ␛[31mtext␇ [b]bold[/b] ␛]52;c;eA==␇" in terminal.text()
        assert {token.kind for token in terminal.tokens} <= {"text", "control"}
        assert b"\x1b" not in terminal.raw
        assert b"\x07" not in terminal.raw


def test_bytes_that_are_no_utf_8_are_survived(workspace: Path) -> None:
    with chat(workspace, "--mode", "single") as terminal:
        terminal.wait_for("User:")
        terminal.send(b"caf\xe9?\r")
        terminal.wait_for("> use time: ")
        leave(terminal)
    (question,) = asked(workspace)[0]
    assert question.startswith("caf")


def test_base_and_adapter_can_be_changed_in_between(workspace: Path) -> None:
    behaviour: dict[str, Any] = {"answers": ["base here"], "adapter_answers": {"sft": ["tuned here"]}}
    with chat(workspace, "--mode", "multi", "--adapter_name_or_path", "sft", **behaviour) as terminal:
        assert "adapter: sft (change with /base)" in terminal.wait_for("User:")
        terminal.type("hi\n")
        terminal.wait_for("tuned here")
        terminal.type("/base\n")
        terminal.wait_for("adapter: none, the base (change with /adapter sft)")
        terminal.type("hi\n")
        terminal.wait_for("base here")
        terminal.type("/adapter sfd\n")
        terminal.wait_for("no adapter 'sfd' is loaded; did you mean 'sft'?")
        leave(terminal)


def test_a_conversation_is_kept_and_gone_on_with(workspace: Path) -> None:
    with chat(workspace, "--mode", "multi", "--save", answers=["A: {question}"]) as terminal:
        terminal.wait_for("User:")
        terminal.type("one\n")
        terminal.wait_for("A: one")
        leave(terminal)
        assert f"kept in {workspace / 'sessions'}" in "".join(terminal.screen())
    with chat(workspace, "--session", "last", answers=["A: {question}"]) as terminal:
        terminal.wait_for("User:")
        terminal.type("two\n")
        terminal.wait_for("A: two")
        leave(terminal)
    assert asked(workspace)[-1] == ["one", "A: one", "two"]


def test_a_conversation_that_cannot_be_kept_goes_on(workspace: Path) -> None:
    (workspace / "sessions").write_text("a file in the folder's place")
    with chat(workspace, "--mode", "multi", "--save") as terminal:
        for count in (1, 2):
            terminal.wait_for(lambda text: text.rstrip().endswith("User:"))
            terminal.type("hello\n")
            terminal.wait_for(lambda text, count=count: text.count("error: ") == count)
        leave(terminal)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_no_process_is_left_when_the_program_is_ended_in_an_answer(workspace: Path, end: str) -> None:
    with chat(workspace, "--mode", "multi", "--save", answers=["go on " * 5000], pace=0.01) as terminal:
        terminal.wait_for("User:")
        terminal.type("never end\n")
        terminal.wait_for("go on go on")
        terminal.signal(signal.Signals[end])
        assert terminal.wait() in (-signal.Signals[end], 128 + signal.Signals[end])
        assert terminal.left_behind() == []
        terminal.assert_all_gone()
    (file,) = (workspace / "sessions").glob("*.jsonl")
    assert "never end" in file.read_text()
