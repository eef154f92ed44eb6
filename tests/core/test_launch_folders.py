"""Folders of runs: gone on with, moved, removed; what is begun in the background."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from begun_runs import SLEEP, events, last_word, shell
from core.errors import RunError
from core.launch.folder import make_folder
from core.launch.local import find_checkpoint, launch_run, remove, resume, without_resume
from core.launch.stopping import kill
from core.runs.catalog import list_runs
from core.runs.events import RunFailed, RunFinished, RunStarted
from core.runs.launch_file import Launch, read_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


def test_a_run_is_resumed_from_a_checkpoint_in_a_new_segment(started: Callable[..., RunDirectory]) -> None:
    run = started("one", *shell('echo trainer "$@"'), "sh")
    last_word(run)
    with pytest.raises(RunError, match="the run one has no checkpoint"):
        resume(run)
    for number in (5, 10):
        run.checkpoint(number).mkdir(parents=True)
    run.wish("stop")  # nobody heard it
    resume(run)
    last_word(run)
    resume(run, "5")
    last_word(run)
    assert run.log.read_text().splitlines() == [
        "trainer",
        "trainer --resume step-000010",
        "trainer --resume step-000005",
    ]
    begun = [event for event in events(run) if isinstance(event, RunStarted)]
    assert [(event.segment, event.resumed_from) for event in begun] == [(1, ""), (2, "step-000010"), (3, "step-000005")]
    assert without_resume(read_launch(run).command)[-1] == "sh"
    with pytest.raises(RunError) as wrong:
        find_checkpoint(run, "step-000007")
    assert wrong.value.hint == "there are: step-000005, step-000010"


def test_a_copy_of_a_workspace_goes_on_in_its_own_folder(tmp_path: Path, started: Callable[..., RunDirectory]) -> None:
    line = shell('echo "$0 $*; $(pwd); $WS; $ELSE"')
    facts = {"workspace": str(tmp_path), "environment": {"WS": str(tmp_path), "ELSE": "/usr"}}
    run = started("one", *line, str(tmp_path / "runs/one"), **facts)
    last_word(run)
    run.checkpoint(5).mkdir(parents=True)
    kept = {path: path.read_bytes() for path in run.path.glob("*.*")}
    copy = tmp_path.with_name(f"{tmp_path.name} copy")
    shutil.copytree(tmp_path, copy)
    moved = RunDirectory(copy / "runs/one")
    resume(moved)
    last_word(moved)
    assert moved.log.read_text().splitlines()[1] == f"{moved.path} --resume step-000005; {copy}; {copy}; /usr"
    assert read_launch(moved).workspace == str(copy)
    assert {path: path.read_bytes() for path in run.path.glob("*.*")} == kept


def test_a_run_that_was_moved_alone_goes_on_from_where_it_lies(
    tmp_path: Path, started: Callable[..., RunDirectory]
) -> None:
    run = started("one", *shell('echo "$0; $(pwd)"'), str(tmp_path / "runs/one"), workspace=str(tmp_path))
    last_word(run)
    run.checkpoint(5).mkdir(parents=True)
    moved = RunDirectory(run.path.rename(tmp_path / "runs/two"))
    resume(moved)
    last_word(moved)
    assert moved.log.read_text().splitlines()[1] == f"{moved.path}; {tmp_path}"


def test_a_run_that_goes_on_is_neither_removed_nor_resumed_nor_overwritten(
    started: Callable[..., RunDirectory], workspace: Workspace
) -> None:
    run = started("one", *shell(SLEEP))
    for attempt in (
        lambda: remove(run, workspace),
        lambda: resume(run),
        lambda: make_folder(run, workspace, overwrite=True),
    ):
        with pytest.raises(RunError, match="the run one is still going on") as caught:
            attempt()
        assert caught.value.hint == "stop it first: finetui runs stop one"
    kill(run)
    last_word(run)
    remove(run, workspace)
    assert not run.path.exists()
    assert list_runs(workspace) == []


def test_a_kill_right_behind_a_start_in_the_background_counts(started: Callable[..., RunDirectory]) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell does behind an ampersand
    try:
        run = started("one", *shell(SLEEP))
    finally:
        signal.signal(signal.SIGQUIT, before)
    kill(run)
    assert isinstance(last_word(run), RunFailed | RunFinished)


def test_only_what_a_run_wrote_is_deleted(started: Callable[..., RunDirectory], workspace: Workspace) -> None:
    run = started("one", *shell("exit 0"))
    last_word(run)
    with pytest.raises(RunError, match="is there already") as taken:
        make_folder(run, workspace, overwrite=False)
    assert "--overwrite_output_dir" in taken.value.hint
    (run.path / ".git").mkdir()
    with pytest.raises(RunError, match=r"holds more than a run: \.git; nothing was deleted"):
        make_folder(run, workspace, overwrite=True)
    (run.path / ".git").rmdir()
    make_folder(run, workspace, overwrite=True)
    assert list(run.path.iterdir()) == []

    stranger = RunDirectory(workspace.root / "thesis")
    stranger.path.mkdir()
    (stranger.path / "chapter1.txt").write_text("words")
    with pytest.raises(RunError, match="holds files that no run wrote"):
        make_folder(stranger, workspace, overwrite=True)
    assert (stranger.path / "chapter1.txt").read_text() == "words"


def test_a_run_that_cannot_begin_says_so(workspace: Workspace) -> None:
    run = RunDirectory(workspace.runs / "one")
    make_folder(run, workspace, overwrite=False)
    run.events.mkdir()  # nothing can be appended to it
    with pytest.raises(RunError, match="the run one did not start") as caught:
        launch_run(run, "", Launch(shell("exit 0")), workspace)
    assert "IsADirectoryError" in caught.value.hint


def test_what_is_started_is_ours_wherever_it_is_started(
    started: Callable[..., RunDirectory], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "core").mkdir()
    (workspace.root / "core" / "__init__.py").write_text("raise SystemExit('the core of the user was imported')")
    monkeypatch.chdir(workspace.root)
    run = started("one", sys.executable, "-P", "-m", "core.launch.supervise")
    told = last_word(run)
    assert isinstance(told, RunFailed)
    assert "of the user was imported" not in run.log.read_text()
    assert "IndexError" in told.log  # ours, called without a folder
