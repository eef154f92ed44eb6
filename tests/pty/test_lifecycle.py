"""However it ends: the terminal is as before, no process is left, and what was said is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from core.chat.session import Conversation
from core.chat.store import SessionStore
from finetui_app import FINETUI, INPUT
from terminal import Terminal
from waiting import PATIENCE

Start = Callable[..., Terminal]

PHASES = {
    "hello": "waiting for the model",
    "import": "starting the engine",
    "load": "loading the weights",
    "prefill": "Question?",
    "decode": "The capital of",
}
"""Where a worker can be, and what the screen shows by then."""

SLOW = {"answers": [" ".join(f"word{number}" for number in range(4_000))], "pace": 0.02}


def conversations(workspace: Path) -> list[Conversation]:
    store = SessionStore(workspace / "sessions")
    return [store.open(summary.path) for summary in store.list()]


def said(workspace: Path) -> list[list[tuple[str, str]]]:
    """What every conversation holds, newest first."""
    return [[(turn.role, turn.content) for turn in talk.line()] for talk in conversations(workspace)]


def ask(terminal: Terminal, text: str = "Question?") -> None:
    terminal.wait_for(lambda shown: INPUT in shown and "demo" in shown)
    terminal.type(text)
    terminal.wait_for(text)
    terminal.press("enter")
    terminal.wait_for(lambda shown: INPUT in shown and text in shown)


def reach(terminal: Terminal, phase: str) -> None:
    """Ask, so that there is something to keep, and wait until the worker is at the phase."""
    ask(terminal)
    terminal.wait_for(PHASES[phase])
    terminal.wait_for_children(1)


def by_signal(number: signal.Signals) -> Callable[[Terminal], None]:
    return lambda terminal: terminal.signal(number)


ENDS: dict[str, tuple[Callable[[Terminal], None], int]] = {
    "SIGTERM": (by_signal(signal.SIGTERM), 128 + signal.SIGTERM),
    "SIGHUP": (by_signal(signal.SIGHUP), 128 + signal.SIGHUP),
    "ctrl+q": (lambda terminal: terminal.press("ctrl+q"), 0),
    "exit": (lambda terminal: terminal.type("exit\n"), 0),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("end", ENDS)
def test_an_end_at_any_phase_leaves_nothing_behind(workspace: Path, start: Start, end: str, phase: str) -> None:
    do, code = ENDS[end]
    app = start(workspace, hang_at=phase)
    reach(app, phase)
    do(app)
    app.assert_ends(code)
    assert app.left_behind() == []
    app.assert_all_gone()
    (talk,) = said(workspace)
    assert talk[0] == ("user", "Question?")


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "ctrl+q"])
def test_the_part_of_an_answer_is_kept_and_marked(workspace: Path, start: Start, end: str) -> None:
    app = start(workspace, **SLOW)
    ask(app)
    app.wait_for("word5")
    ENDS[end][0](app)
    app.wait()
    (talk,) = conversations(workspace)
    question, answer = talk.line()
    assert (question.content, answer.finish_reason) == ("Question?", "stopped")
    assert answer.content.startswith("word0 word1 word2 word3 word4 word5")


def test_a_kill_loses_only_the_unfinished_answer(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["First answer.", SLOW["answers"][0]], pace=0.01)
    ask(app, "One?")
    app.wait_for("First answer.")
    app.wait_for("tok/s")
    ask(app, "Two?")
    app.wait_for("word5")
    app.signal(signal.SIGKILL)
    app.assert_ends(-signal.SIGKILL)
    app.assert_all_gone()
    assert said(workspace) == [[("user", "One?"), ("assistant", "First answer."), ("user", "Two?")]]

    again = start(workspace, answers=["I am back."])
    again.wait_for(INPUT)
    again.type("/resume\n")
    again.wait_for(lambda shown: "First answer." in shown and "Two?" in shown)
    again.press("ctrl+q")
    again.assert_ends()


def test_a_lost_connection_ends_everything_and_keeps_the_part(workspace: Path, start: Start) -> None:
    app = start(workspace, **SLOW)
    ask(app)
    app.wait_for("word5")
    app.hang_up()
    app.process.wait(PATIENCE)
    app.assert_all_gone()
    ((question, answer),) = said(workspace)
    assert question == ("user", "Question?")
    assert answer[1].startswith("word0 word1")


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "hello"])
@pytest.mark.parametrize("by", [-signal.SIGKILL, -signal.SIGSEGV, 1])
def test_a_crash_of_the_worker_is_told_and_the_next_question_is_answered(
    workspace: Path, start: Start, tmp_path: Path, phase: str, by: int
) -> None:
    app = start(workspace, crash_at=phase, crash_by=int(by), crash_once=str(tmp_path / "crashed"))
    if phase in ("prefill", "decode"):  # else it happens while the model is loaded at the start
        ask(app)
    app.wait_for("signal" if by < 0 else "exit code 1")
    ask(app, "Again?")
    app.wait_for("The capital of France is Paris.")
    app.wait_for_children(1)
    app.press("ctrl+q")
    app.assert_ends()
    assert app.left_behind() == []
    app.assert_all_gone()
    (turns,) = said(workspace)
    assert turns[-2:] == [("user", "Again?"), ("assistant", "The capital of France is Paris.")]
    assert turns[0] == ("user", "Question?") or phase in ("import", "load")


def test_a_message_can_be_typed_before_anything_else_is_there(workspace: Path, start: Start) -> None:
    app = start(workspace, phase_seconds=0.05)
    app.wait_for(INPUT)
    app.type("Question?\n")
    app.wait_for("The capital of France is Paris.")
    app.press("ctrl+q")
    app.assert_ends()
    assert said(workspace) == [[("user", "Question?"), ("assistant", "The capital of France is Paris.")]]


@pytest.mark.parametrize("change", ["/compare base tuned", "/new", "/clear", "/resume"])
def test_a_question_right_behind_a_change_of_the_screen_is_not_lost(workspace: Path, start: Start, change: str) -> None:
    app = start(workspace, pace=0)
    ask(app)
    app.wait_for("tok/s")
    app.type(f"{change}\nAnd now?\n")
    app.wait_until(lambda: "And now?" in str(said(workspace)), "the question in a file")
    app.press("ctrl+q")
    app.assert_ends()


def test_a_worker_that_never_starts_is_told(workspace: Path, start: Start) -> None:
    app = start(workspace, crash_at="hello", crash_by=1, stderr="cannot open shared object\n")
    ask(app)
    app.wait_for("exit code 1")
    app.wait_for("cannot open shared object")
    app.press("ctrl+q")
    app.assert_ends()


def test_a_worker_that_clings_to_life_does_not_outlive_the_app(workspace: Path, start: Start) -> None:
    app = start(workspace, ignore_end=True, **SLOW)
    ask(app)
    app.wait_for("word5")
    app.press("ctrl+q")
    app.assert_ends()
    app.assert_all_gone()


def test_ctrl_c_and_escape_stop_the_answer_and_not_the_app(workspace: Path, start: Start) -> None:
    app = start(workspace, **SLOW)
    for number, key in enumerate(("ctrl+c", "escape"), start=1):
        ask(app, f"Question {number}?")
        app.wait_for(lambda shown, number=number: shown.count("word5") == number)
        app.press(key)
        app.wait_for(lambda shown, number=number: shown.count("stopped by you") == number)
    app.press("ctrl+c")
    app.wait_for("ctrl+q ends finetui")
    app.press("ctrl+q")
    app.assert_ends()
    assert [turn.finish_reason for turn in conversations(workspace)[0].line()] == [None, "stopped", None, "stopped"]


def test_a_signal_before_the_first_frame_leaves_the_terminal_whole(workspace: Path, start: Start) -> None:
    app = start(workspace, hang_at="hello")
    app.wait_for_raw(b"\x1b[?1049h")
    app.signal(signal.SIGTERM)
    app.assert_ends(128 + signal.SIGTERM)
    assert app.left_behind() == []
    app.assert_all_gone()


def test_two_apps_in_one_workspace_do_not_clobber_each_other(workspace: Path, start: Start) -> None:
    first, second = start(workspace, answers=["to the first"]), start(workspace, answers=["to the second"])
    for app, text in ((first, "One?"), (second, "Two?"), (first, "Three?")):
        ask(app, text)
        app.wait_for(lambda shown, text=text: shown.count("tok/s") == (2 if text == "Three?" else 1))
    for app in (first, second):
        app.press("ctrl+q")
        app.assert_ends()
    one, two = sorted(said(workspace), key=len, reverse=True)
    assert one == [
        ("user", "One?"), ("assistant", "to the first"), ("user", "Three?"), ("assistant", "to the first"),
    ]  # fmt: skip
    assert two == [("user", "Two?"), ("assistant", "to the second")]


@pytest.mark.parametrize(("cols", "rows"), [(120, 36), (80, 24), (40, 10), (20, 5)])
def test_it_opens_and_closes_at_any_size(workspace: Path, start: Start, cols: int, rows: int) -> None:
    app = start(workspace, terminal={"cols": cols, "rows": rows}, answers=["x"])
    app.wait_for(lambda shown: "message" in shown)
    app.resize(120, 36)
    app.wait_for(INPUT)
    app.resize(cols, rows)
    app.settle()
    app.press("ctrl+q")
    app.assert_ends()
    assert app.left_behind() == []


def test_suspended_and_resumed_it_goes_on(workspace: Path, start: Start) -> None:
    app = start(workspace, answers=["After all."])
    app.wait_for(INPUT)
    app.settle()
    app.signal(signal.SIGTSTP)
    stat = Path(f"/proc/{app.process.pid}/stat")
    app.wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the stop")
    app.wait_until(lambda: app.left_behind() == [], "a terminal as before")
    app.signal(signal.SIGCONT)
    ask(app)
    app.wait_for("After all.")
    app.press("ctrl+q")
    app.assert_ends()


def test_the_users_own_core_folder_is_not_imported(workspace: Path, start: Start) -> None:
    for name in ("core", "tui"):
        (workspace / name).mkdir()
        (workspace / name / "__init__.py").write_text("raise SystemExit('the user's own was imported')")
    app = start(workspace, command=[FINETUI], answers=["Ours."])
    ask(app)
    app.wait_for("Ours.")
