"""A training started from Python: the command without a command line."""

from __future__ import annotations

from pathlib import Path

from core.config.load import load
from core.config.training import TRAINING
from core.launch.prepare import prepare
from core.launch.start import start
from core.runs.rundir import RunDirectory
from core.workspace import find_workspace


def train(config: Path | str | None = None, *, workspace: Path | None = None, **options: object) -> RunDirectory:
    """Start a training; it goes on when this process ends. `core.follow` tells of it.

    Args:
        config: a YAML or JSON file of options.
        workspace: its folder; else the one that commands would use here.
        options: what `finetui train` takes, by name; they win over the file.

    Raises:
        ConfigError: all that stands against it.
        RunError: it cannot be started.
    """
    settings = load(TRAINING, values=options, file=Path(config) if config is not None else None)
    return start(prepare(settings, find_workspace(workspace)))
