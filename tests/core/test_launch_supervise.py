"""Supervised runs across processes: a shell line or a few of Python stand for the trainer, the rest is real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fake_trainer
from begun_runs import SLEEP, alive, events, last_word, shell
from core.errors import RunError
from core.jsonl import append_lines
from core.launch.device_lock import Ticket, lock_folder
from core.launch.stopping import kill, stop, terminate
from core.records import to_record
from core.runs.alive import is_alive
from core.runs.events import Queued, RunFailed, RunFinished, RunStarted, StageChanged, Step, Warned
from core.runs.launch_file import Caution
from core.runs.rundir import RunDirectory
from core.runs.state import read_marks, state_of
from core.workspace import Workspace
from waiting import until

# --- how runs end -----------------------------------------------------------------------------------------------


def test_a_run_begins_with_its_sign_of_life_and_ends_with_the_trainers_word(
    started: Callable[..., RunDirectory],
) -> None:
    word = '{"type":"run_finished","time":1.0,"reason":"completed","step":7}'
    line = f"pwd; echo $FINETUI_TEST; echo '{word}' >> runs/one/events.jsonl"
    caution = Caution("fp16 is not here", "float32 is")
    run = started("one", *shell(line), environment={"FINETUI_TEST": "from launch.json"}, cautions=(caution,))
    assert last_word(run) == RunFinished(1.0, "completed", 7)
    first, warned, stage, *_rest = events(run)
    assert isinstance(first, RunStarted)
    assert (first.segment, first.schema, first.kind) == (1, 1, "train")
    assert isinstance(warned, Warned)
    assert (warned.message, warned.hint) == (caution.message, caution.hint)
    assert isinstance(stage, StageChanged)
    assert run.log.read_text().splitlines() == [str(run.path.parents[1]), "from launch.json"]
    assert not is_alive(first.pid, first.started)


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("kill -9 $$", "killed by signal 9: most likely out of memory", "take a smaller per_device_train_batch_size"),
        ("kill -11 $$", "crashed with signal 11 (SIGSEGV)", "a library failed"),
        ("kill -15 $$", "ended by signal 15 from outside", "go on from its last checkpoint"),
        ("echo no such thing >&2; exit 3", "ended with exit code 3 and no word of why", "output.log may say more"),
    ],
)
def test_a_trainer_that_dies_without_a_word_is_told_with_signal_and_log(
    started: Callable[..., RunDirectory], line: str, error: str, hint: str
) -> None:
    run = started("one", *shell(f"echo before; {line}"))
    told = last_word(run)
    assert isinstance(told, RunFailed)
    assert told.error == error
    assert told.hint.startswith(hint)
    assert told.log.startswith("before")
    assert state_of(run) == "failed"


def test_a_command_that_is_not_there_fails_the_run(started: Callable[..., RunDirectory]) -> None:
    told = last_word(started("one", "/nowhere/trainer"))
    assert isinstance(told, RunFailed)
    assert told.error == "it cannot be started: [Errno 2] No such file or directory: '/nowhere/trainer'"


def test_nobody_outlives_a_run(started: Callable[..., RunDirectory], workspace: Workspace) -> None:
    """A grandchild that left the group, deaf to SIGTERM, with its parent gone: it is found and ended."""
    deaf = f"trap '' TERM; echo $$ > deaf.pid; {SLEEP}"
    run = started(
        "one", *shell(f'setsid sh -c "{deaf.replace("$", chr(92) + "$")}" & until [ -s deaf.pid ]; do :; done')
    )
    assert isinstance(last_word(run), RunFailed)
    assert (workspace.root / "deaf.pid").read_text().strip().isdigit()
    assert not alive(workspace.root / "deaf.pid")


# --- stopping ---------------------------------------------------------------------------------------------------


def test_a_trainer_that_is_told_to_end_has_time_to_save(started: Callable[..., RunDirectory]) -> None:
    run = started("one", *shell(f"trap 'echo saved; exit 0' TERM; echo ready; {SLEEP}"))
    until(lambda: "ready" in run.log.read_text())
    terminate(run)
    told = last_word(run)
    assert isinstance(told, RunFinished)
    assert told.reason == "stopped"
    assert run.log.read_text().split() == ["ready", "saved"]
    with pytest.raises(RunError, match="the run one does not run: stopped"):
        terminate(run)


def test_a_trainer_that_does_not_end_in_time_is_killed(
    started: Callable[..., RunDirectory], workspace: Workspace
) -> None:
    run = started("one", *shell(f"trap '' TERM; echo $$ > it.pid; {SLEEP}"), grace_seconds=0.2)
    until(lambda: alive(workspace.root / "it.pid"))
    terminate(run)
    assert isinstance(last_word(run), RunFinished)
    assert not alive(workspace.root / "it.pid")


def test_kill_ends_all_of_it_at_once(started: Callable[..., RunDirectory], workspace: Workspace) -> None:
    line = f"trap '' TERM; sh -c 'echo $$ > child.pid; {SLEEP}' & echo $$ > it.pid; {SLEEP}"
    run = started("one", *shell(line))
    until(lambda: alive(workspace.root / "it.pid") and alive(workspace.root / "child.pid"))
    append_lines(run.events, to_record(Step(1.0, 12, 20, 1.0, 2.0, 1.0, 1e-4, 1, 1, 1.0, 1.0, 1.0, 1.0)))
    kill(run)
    told = last_word(run)
    assert isinstance(told, RunFinished)
    assert (told.reason, told.step) == ("stopped", 12)
    assert not alive(workspace.root / "it.pid")
    assert not alive(workspace.root / "child.pid")


def test_a_run_that_ends_just_before_it_is_killed_is_told_as_ended(
    started: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its state and the signal it has time to say its last word."""
    run = started("one", *shell(SLEEP))

    def ends(pid: int, since: float) -> bool:
        kill_now(pid, signal.SIGQUIT)
        until(lambda: not is_alive(pid, since))
        return False

    kill_now = os.kill
    monkeypatch.setattr("core.launch.stopping.is_alive", ends)
    with pytest.raises(RunError, match="the run one does not run: stopped"):
        kill(run)


def test_a_wish_to_stop_reaches_a_trainer_that_still_imports(started: Callable[..., RunDirectory]) -> None:
    run = started("one", *shell(SLEEP))
    until(lambda: state_of(run) == "running")
    stop(run)
    os.utime(run.control / "stop", (time.time() - 60,) * 2)  # as if it had stood there for a while
    told = last_word(run)
    assert isinstance(told, RunFinished)
    assert told.reason == "stopped"
    assert list(run.wishes()) == []


def test_a_supervisor_that_is_killed_takes_the_trainer_with_it(
    started: Callable[..., RunDirectory], workspace: Workspace
) -> None:
    run = started("one", *shell(f"trap 'echo saved; exit' TERM; echo $$ > it.pid; {SLEEP}"))
    until(lambda: alive(workspace.root / "it.pid"))
    begun = read_marks(run).started
    assert begun is not None
    os.kill(begun.pid, signal.SIGKILL)
    until(lambda: not alive(workspace.root / "it.pid"))
    assert state_of(run) == "lost"
    assert run.log.read_text().split() == ["saved"]


# --- the queue --------------------------------------------------------------------------------------------------


def test_runs_on_one_device_go_one_after_another_in_the_order_they_came(
    started: Callable[..., RunDirectory],
) -> None:
    first = started("first", *shell(SLEEP), devices=("cpu",))
    until(lambda: state_of(first) == "running")
    second = started("second", *shell("exit 0"), devices=("cpu",))
    third = started("third", *shell("exit 0"), devices=("cpu",))
    other = started("other", *shell("exit 0"), devices=("cuda-1",))
    last_word(other)
    until(lambda: isinstance(events(third)[-1], Queued))
    assert (state_of(second), state_of(third)) == ("queued", "queued")
    waiting = events(second)[-1]
    assert isinstance(waiting, Queued)
    assert (waiting.device, waiting.holder) == ("cpu", str(first.path))
    stop(third)
    assert last_word(third) == RunFinished(events(third)[-1].time, "stopped", 0)
    kill(first)
    last_word(second)
    began = [event for event in events(second) if isinstance(event, StageChanged)]
    assert began[0].time >= events(first)[-1].time


def test_tickets_of_the_dead_hold_nobody_up(tmp_path: Path) -> None:
    lines = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from pathlib import Path",
        "from core.launch.device_lock import Ticket",
        "ticket = Ticket(['cpu'], 'the first', Path(sys.argv[2])); print('drawn', flush=True); time.sleep(60)",
    )
    command = [sys.executable, "-S", "-c", "\n".join(lines), str(Path(__file__).parents[2]), str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"drawn\n"
    mine, two = Ticket(["cpu"], "mine", tmp_path), Ticket(["cuda-0", "cpu"], "two", tmp_path)
    assert mine.ahead() == ("cpu", "the first")
    child.kill()
    child.wait()
    child.stdout.close()
    assert mine.ahead() is None
    assert two.ahead() == ("cpu", "mine")
    three = Ticket(["cuda-0"], "three", tmp_path)
    mine.release()
    assert two.ahead() is None
    assert three.ahead() == ("cuda-0", "two")
    two.release()
    assert three.ahead() is None
    three.release()


def test_each_user_has_a_queue_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINETUI_LOCKS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert lock_folder() == tmp_path / "finetui"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = lock_folder()
    assert folder == tmp_path / f"finetui-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    other = os.getuid() + 1
    folder.rename(tmp_path / f"finetui-{other}")
    monkeypatch.setattr("os.getuid", lambda: other)
    with pytest.raises(PermissionError, match="belongs to another user"):
        lock_folder()


# --- the trainer of the tests ---------------------------------------------------------------------------------------


def test_a_fake_trainer_that_nobody_stops_ends_by_itself(
    workspace: Workspace, started: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "wait")
    monkeypatch.setenv("FAKE_LIFE", "0.1")
    run = started("late", *fake_trainer.COMMAND, str(workspace.runs / "late"))
    word = last_word(run)
    assert isinstance(word, RunFailed)
    assert "nobody stopped this fake trainer" in word.log


def test_a_fake_trainer_ends_when_its_folder_is_gone(
    workspace: Workspace, started: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "wait")
    folder = workspace.root / "told"
    folder.mkdir(parents=True)
    run = started("gone", *fake_trainer.COMMAND, str(folder))
    until((folder / "checkpoints").exists)
    shutil.rmtree(folder)
    assert isinstance(last_word(run), RunFailed)
