"""A run and whoever watches it: it outlives the app's death and the terminal's, and leaves nobody behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fake_trainer
from begun_runs import end_runs
from core.runs.history import read_history
from core.runs.rundir import RunDirectory
from core.runs.state import state_of
from finetui_app import FINETUI
from folders import make_data
from terminal import Terminal
from waiting import until

Start = Callable[..., Terminal]


@pytest.fixture
def training(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunDirectory]:
    """The run that `train` starts here: its trainer is a fake, which waits after its last step until it is stopped."""
    make_data(workspace / "data")
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(fake_trainer.COMMAND))
    monkeypatch.setenv("FAKE_STEPS", "40")
    monkeypatch.setenv("FAKE_END", "wait")
    monkeypatch.setenv("FINETUI_WORKSPACE", str(workspace))
    run = RunDirectory(workspace / "runs" / "lora-intro")
    yield run
    end_runs([run])


TRAIN = ("train", "--model", "demo", "--dataset", "intro")


def finetui(*words: str) -> str:
    done = subprocess.run([FINETUI, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(run: RunDirectory) -> list[tuple[int, float]]:
    return [(point.last, point.mean) for point in read_history(run).curves["loss"].slices]


def test_a_bar_shows_the_run_and_ctrl_c_leaves_it(workspace: Path, start: Start, training: RunDirectory) -> None:
    terminal = start(workspace, *TRAIN)
    terminal.wait_for("40/40")
    shown = terminal.wait_for("loss 0.0500  0.50 step/s  ETA 00:00:00")
    assert "demo: 135M parameters, 461k of them trained (0.34 %) by lora" in shown
    terminal.press("ctrl+c")
    terminal.assert_ends(130)
    assert "lora-intro goes on without you" in terminal.text()
    assert terminal.left_behind() == []
    assert state_of(training) == "running"
    assert finetui("runs", "stop", "last") == "lora-intro: stopped\n"
    terminal.assert_all_gone()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGHUP])
def test_the_death_of_whoever_watches_changes_nothing(
    workspace: Path, start: Start, training: RunDirectory, end: signal.Signals
) -> None:
    first = start(workspace, *TRAIN)
    first.wait_for("40/40")
    before = losses(training)
    first.signal(end)
    first.wait()
    assert state_of(training) == "running"
    again = start(workspace, "runs", "follow", "last")
    again.wait_for("40/40")
    assert losses(training) == before == [(step, 2 / step) for step in range(1, 41)]
    stopping = start(workspace, "runs", "stop", "last")
    stopping.wait_for("lora-intro: stopped")
    again.assert_ends(1)
    assert "stopped at step 40" in again.text()
    first.assert_all_gone()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_the_end_of_tmux_changes_nothing(workspace: Path, training: RunDirectory) -> None:
    tmux = ["tmux", "-L", f"finetui-test-{os.getpid()}"]
    command = " ".join([str(FINETUI), *TRAIN])
    subprocess.run([*tmux, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", command], check=True)
    try:
        until(lambda: training.events.exists() and state_of(training) == "running", "the run")
        until(training.saved_checkpoints, "its last step")
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)
    assert state_of(training) == "running"
    assert finetui("runs", "stop", "last") == "lora-intro: stopped\n"


def test_a_killed_trainer_is_told_with_its_signal_to_whoever_watches(
    workspace: Path, start: Start, training: RunDirectory
) -> None:
    terminal = start(workspace, *TRAIN)
    terminal.wait_for("40/40")
    (trainer,) = [pid for pid, command in terminal.processes().items() if "fake_trainer" in command]
    os.kill(trainer, signal.SIGKILL)
    terminal.assert_ends(1)
    shown = terminal.text()
    assert "error: killed by signal 9: most likely out of memory" in shown
    assert "hint: take a smaller per_device_train_batch_size or cutoff_len" in shown
    assert "failed at step 40" in shown
    terminal.assert_all_gone()


def open_curves(app: Terminal) -> None:
    """Go to a run that has told all its steps."""
    app.wait_for("demo")
    app.press("f3")
    app.wait_for(lambda shown: "lora-intro" in shown and "100%" in shown and "grad_norm" in shown)


def drawn(app: Terminal) -> list[str]:
    """The lines with curves in them."""
    return [line for line in app.screen() if any("\u2800" < character <= "\u28ff" for character in line)]


def test_a_new_app_shows_the_curves_that_a_killed_one_showed(
    workspace: Path, start: Start, training: RunDirectory
) -> None:
    finetui(*TRAIN, "--detach")
    until(training.saved_checkpoints, "its last step")
    size = {"cols": 120, "rows": 36}
    first = start(workspace, terminal=size, answers=["yes"])
    open_curves(first)
    first.wait_until(lambda: len(drawn(first)) > 5, "the curves")
    first.settle()
    before = drawn(first)
    first.signal(signal.SIGKILL)
    first.wait()
    assert state_of(training) == "running"
    second = start(workspace, terminal=size, answers=["yes"])
    open_curves(second)
    second.wait_until(lambda: drawn(second) == before, "the same curves")
    assert finetui("runs", "stop", "last") == "lora-intro: stopped\n"
