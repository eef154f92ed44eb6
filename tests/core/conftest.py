"""Runs of a command, started in a workspace of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from begun_runs import end_runs
from core.launch.folder import make_folder
from core.launch.local import launch_run
from core.runs.launch_file import Launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def started(workspace: Workspace) -> Iterator[Callable[..., RunDirectory]]:
    """Starts a run of a command; ends whatever still runs when the test is over."""
    runs: list[RunDirectory] = []

    def start(name: str, *command: str, overwrite: bool = False, **facts: object) -> RunDirectory:
        run = RunDirectory(workspace.runs / name)
        runs.append(run)
        make_folder(run, workspace, overwrite=overwrite)
        launch_run(run, "", Launch(command, str(workspace.root), **facts), workspace)  # type: ignore[arg-type]
        return run

    yield start
    end_runs(runs)
