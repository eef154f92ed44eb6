"""The corpus of hostile text on every way in: what reaches the terminal is what finetui itself would write.

The app's output is read as sequences: only those that Textual needs to draw may occur. A command's output has none at
all. That the text itself is seen, as stand-ins, is asserted for a few; that all of it is inert, for everything.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import runner
from core.chat.session import Column
from core.chat.store import SessionStore
from fakes import fake_worker_command
from finetui_app import FINETUI, INPUT, start_finetui
from folders import make_adapter, make_model
from hostile import CORPUS, FILE_NAMES, SHORT, dangers
from sequences import Token
from terminal import Terminal

Start = Callable[..., Terminal]

# Cursor position, erase, colours; modes of screen, cursor, mouse, focus, paste, wrap, synchronized update, in-band
# resize; questions about the last two; the kitty protocol on and off.
DRAWING = re.compile(
    r"\x1b\[[\d;]*[HJKmABCD]"
    r"|\x1b\[\?(?:1049|25|1000|1002|1003|1004|1006|1015|1016|2004|2026|2048|7)[hl]"
    r"|\x1b\]22;[a-z-]+\x07"  # the pointer's shape
    r"|\x1b\[\?(?:2026|2048)\$p|\x1b\[>\d+u|\x1b\[<u"
)
CONTROLS = {"\r", "\n"}


def foreign(tokens: list[Token]) -> set[str]:
    """What was written that drawing does not need."""
    return {
        token.text
        for token in tokens
        if not (
            token.kind == "text"
            or DRAWING.fullmatch(token.text)
            or (token.kind == "control" and token.text in CONTROLS)
        )
    }


def unseen(tokens: list[Token]) -> set[str]:
    """Characters in the drawn text that a reader would not see, or a terminal would obey."""
    return set(dangers("".join(token.text for token in tokens if token.kind == "text")))


def assert_inert(terminal: Terminal) -> None:
    assert foreign(terminal.tokens) == set()
    assert unseen(terminal.tokens) == set()
    assert "owned" not in " ".join(token.text for token in terminal.tokens if token.kind != "text")


def leave(terminal: Terminal) -> None:
    terminal.press("escape", "escape", "ctrl+q")
    terminal.assert_ends()
    assert terminal.left_behind() == []
    assert_inert(terminal)


def answers_kept(workspace: Path) -> int:
    return sum(file.read_text().count('"role":"assistant"') for file in (workspace / "sessions").glob("*.jsonl"))


def ask(terminal: Terminal, workspace: Path, text: str = "q") -> None:
    """Ask, and wait until the answer is in the file and on the screen."""
    kept = answers_kept(workspace)
    terminal.wait_for(INPUT)
    terminal.type(text + "\n")
    terminal.wait_until(lambda: answers_kept(workspace) > kept, "the answer")
    terminal.wait_for(INPUT)


def test_answers_of_the_model(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=list(SHORT.values()), pace=0)
    for name in SHORT:
        ask(app, workspace)
        if name == "colours":
            app.wait_for("␛[31mred␛[0m ␛[1;5;7mloud␛[m")
        elif name == "clipboard":
            app.wait_for("␛]52;c;c2VjcmV0␇␛]52;c;c2VjcmV0␛\\")
        elif name == "textual_markup":
            app.wait_for("[@click=app.quit]x[/]")
        elif name == "bidi":
            app.wait_for("user<U+202E>resu")
    app.type("/raw\n")
    app.settle()
    app.press("ctrl+up", "ctrl+up", "ctrl+up")
    app.settle()
    leave(app)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in SHORT])
def test_a_very_long_answer(workspace: Path, start: Start, name: str) -> None:
    app = start(workspace, answers=["before " + CORPUS[name]])
    ask(app, workspace)
    app.settle(0.5)
    leave(app)


def test_questions_that_are_pasted(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["fine"])
    for text in SHORT.values():
        app.wait_for(INPUT)
        app.paste(text.encode("utf-8", "replace").decode())
        app.settle()
        app.press("f7", "backspace")
    leave(app)


def test_a_conversation_file(workspace: Path, start: Start) -> None:
    store = SessionStore(workspace / "sessions")
    for name, text in SHORT.items():
        talk = store.create(title=text, system=text, columns=(Column(0, text, text, text),))
        talk.append("user", text)
        talk.append("assistant", text, model=text, adapter=text, finish_reason="stop")
        talk.rename(f"{name} {text}")
    app = start(workspace, answers=["fine"])
    app.wait_for(INPUT)
    app.settle()
    for name in SHORT:
        app.type(f"/resume {name}\n")
        app.settle()
    app.press("ctrl+l")
    app.settle()
    leave(app)


def test_a_conversation_file_with_wrong_lines(workspace: Path, start: Start) -> None:
    (workspace / "sessions").mkdir()
    for number, text in enumerate(SHORT.values()):
        lines = [json.dumps({"type": text, "schema": text, "title": text}), text.replace("\n", " "), "{}"]
        file = workspace / "sessions" / f"2026-01-01-0000{number:02}-abcd.jsonl"
        file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    app = start(workspace, answers=["fine"])
    app.wait_for(INPUT)
    app.settle()
    for _ in range(3):
        app.type("/resume\n")
        app.settle()
    leave(app)


@pytest.fixture
def hostile_models(tmp_path: Path) -> Path:
    """Model and adapter folders with every name of the corpus that a file system takes."""
    for text in FILE_NAMES.values():
        base = make_model(tmp_path / "models" / text)
        config = json.loads((base / "config.json").read_text())
        config["architectures"], config["model_type"] = [text], text
        (base / "config.json").write_text(json.dumps(config))
        make_adapter(tmp_path / "runs" / text, text)
    return tmp_path


def test_names_of_models_in_the_app(hostile_models: Path, start: Start) -> None:
    app = start(hostile_models, answers=["fine"])
    app.wait_for(INPUT)
    app.settle()
    for key in ("ctrl+g", "f6"):
        app.press(key)
        app.settle()
        for _ in range(len(FILE_NAMES)):
            app.press("down")
        app.settle()
        app.press("escape", "f2")
    leave(app)


def test_what_a_worker_says_of_itself(workspace: Path, start: Start) -> None:
    loud = " ".join(SHORT[name] for name in ("colours", "clipboard", "c1", "bidi", "textual_markup", "carriage_return"))
    app = start(workspace, architecture=loud, template=loud, injected_system=loud, warnings=[loud], answers=["fine"])
    ask(app, workspace)
    app.press("f9")
    app.settle()
    leave(app)


@pytest.mark.parametrize("place", ["import", "prefill"])
def test_errors_of_a_worker(workspace: Path, start: Start, place: str) -> None:
    loud = " ".join(SHORT[name] for name in ("colours", "clipboard", "c1", "bidi", "textual_markup", "carriage_return"))
    app = start(workspace, fail={place: ["model", "said: " + loud, "hint: " + loud]})
    app.wait_for(INPUT)
    app.type("q\n")
    app.wait_for("␛]52;c;")
    app.settle()
    leave(app)


def test_last_words_of_a_worker(workspace: Path, start: Start) -> None:
    loud = "\n".join(SHORT[name] for name in ("colours", "clipboard", "bidi", "rich_markup"))
    app = start(workspace, stderr=loud + "\n", crash_at="import", crash_by=1)
    app.wait_for(INPUT)
    app.type("q\n")
    app.wait_for("exit code 1")
    app.settle()
    leave(app)


# --- commands ---------------------------------------------------------------------------------------------------


def chat_output(workspace: Path, answers: list[str], *options: str) -> str:
    env = {"FINETUI_WORKER_COMMAND": json.dumps(fake_worker_command(answers=answers))}
    with start_finetui(workspace, "chat", "--model_name_or_path", "demo", *options, env=env) as terminal:
        terminal.assert_ends()
        assert foreign(terminal.tokens) <= _PROGRESS
        assert unseen(terminal.tokens) == set()
        return terminal.raw.decode()


_PROGRESS = {"\x1b[K", "\x1b[2K", "\t"}
"""What a command writes over its own progress line with; and a tab in an answer stays one."""


@pytest.mark.parametrize("name", CORPUS)
def test_answers_in_the_command(workspace: Path, name: str) -> None:
    shown = chat_output(workspace, ["before " + CORPUS[name]], "--prompt", "q")
    assert "before" in shown


def test_names_of_models_in_the_command(hostile_models: Path) -> None:
    for arguments in (["models", "list"], ["models", "list", "--json"]):
        run = subprocess.run([FINETUI, *arguments], cwd=hostile_models, capture_output=True, check=True)
        assert dangers(run.stdout.decode()) == []
        with start_finetui(hostile_models, *arguments) as terminal:
            terminal.assert_ends()
            assert {token.text for token in terminal.tokens if token.kind not in ("text", "csi")} <= CONTROLS
            assert unseen(terminal.tokens) == set()


def test_an_unknown_name_is_told_without_obeying_it(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_WORKSPACE", str(workspace))
    info = runner(capsys, "models", "info")
    for text in FILE_NAMES.values():
        run = info("x" + text)
        assert run.code == 2
        assert run.err.startswith("error: ")
        assert dangers(run.err) == []
