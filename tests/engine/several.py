"""Two processes of one training, without torchrun and its imports."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

from core.engine.train import main
from core.workspace import Workspace
from training_runs import forked


def two_processes(run_path: Path, workspace: Workspace, resume: str = "") -> list[int]:
    """What torchrun starts: their pids."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    pids = []
    for rank in (0, 1):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "FINETUI_WORKSPACE": str(workspace.root),
        }
        arguments = [str(run_path), *(["--resume", resume] if resume else [])]
        pids.append(forked(partial(main, arguments), environment))
    return pids
