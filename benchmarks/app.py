"""The app on a real terminal, with a model that only looks like one and a scripted worker behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.workspace import Workspace
from fakes import fake_worker_command
from folders import make_model
from terminal import Terminal

FRAME_MARK = b"sends"
"""A word of the input's placeholder: when it has been written, the first frame stands."""


@contextmanager
def a_workspace() -> Iterator[Workspace]:
    """An empty workspace with one model."""
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        make_model(workspace.models / "demo", layers=30)
        yield workspace


def start(workspace: Workspace, *, probe: Path | None = None, **behaviour: Any) -> Terminal:
    """Start the app there.

    Args:
        workspace: where.
        probe: let a clock run in the app's event loop, and write its record there at the end.
        behaviour: of the scripted worker.
    """
    command = [str(Path(sys.executable).with_name("finetui"))]
    env = {"FINETUI_WORKER_COMMAND": json.dumps(fake_worker_command(**behaviour)), "HOME": str(workspace.root)}
    if probe is not None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("probe.py"))]
        env["PROBE_RECORD"] = str(probe)
    return Terminal([*command, "--workspace", workspace.root], env=env, emulate=False)


def written_within(terminal: Terminal, begun: float, ended: float) -> int:
    """How many bytes the app wrote between two moments of `time.perf_counter`."""
    before = max((size for at, size in terminal.reads if at <= begun), default=0)
    after = max((size for at, size in terminal.reads if at <= ended), default=0)
    return after - before
