"""The app on a real terminal, with a model that only looks like one and a scripted worker behind it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.workspace import Workspace
from finetui_app import FINETUI, start_finetui
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


def start(workspace: Workspace, *, probe: Path | None = None, pace: float = 0.0, **behaviour: Any) -> Terminal:
    """Start the app there, its output counted and not drawn.

    Args:
        workspace: where.
        probe: let a clock run in the app's event loop, and write its record there at the end.
        pace: seconds between two tokens of the scripted worker.
        behaviour: the rest of its behaviour.
    """
    command = [FINETUI] if probe is None else [sys.executable, "-P", Path(__file__).with_name("probe.py")]
    env = {"PROBE_RECORD": str(probe)} if probe else {}
    return start_finetui(workspace.root, command=command, env=env, terminal={"emulate": False}, pace=pace, **behaviour)


def written_within(terminal: Terminal, begun: float, ended: float) -> int:
    """How many bytes the app wrote between two moments of `time.perf_counter`."""
    before = max((size for at, size in terminal.reads if at <= begun), default=0)
    after = max((size for at, size in terminal.reads if at <= ended), default=0)
    return after - before
