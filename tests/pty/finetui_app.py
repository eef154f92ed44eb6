"""finetui on the test terminal, in a workspace with a model that only looks like one, a scripted worker behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fakes import fake_worker_command
from terminal import Terminal

FINETUI = Path(sys.executable).with_name("finetui")
INPUT = "enter sends"
"""Stands in the empty input: the first frame is there."""


def start_finetui(
    workspace: Path,
    *arguments: str,
    command: Sequence[str | Path] = (FINETUI,),
    env: Mapping[str, str | None] | None = None,
    terminal: Mapping[str, Any] | None = None,
    **behaviour: Any,
) -> Terminal:
    """Start finetui there.

    Args:
        workspace: its folder; the user's home, too.
        arguments: of the command line; none opens the app.
        command: how finetui is started.
        env: variables besides.
        terminal: options of `Terminal`.
        behaviour: of the scripted worker; none at all means the real one.
    """
    variables: dict[str, str | None] = {"HOME": str(workspace), "FINETUI_WORKSPACE": str(workspace)}
    if behaviour:
        variables["FINETUI_WORKER_COMMAND"] = json.dumps(fake_worker_command(**behaviour))
    return Terminal([*command, *arguments], cwd=workspace, env={**variables, **(env or {})}, **(terminal or {}))
