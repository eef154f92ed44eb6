"""What there is when a run starts, so that it can be told later what made it: versions, commits, data by content."""

from __future__ import annotations

import contextlib
import functools
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.data.examples import file_hash
from core.launch.local import ENVIRONMENT
from core.models.reward_source import function_file
from core.runs.alive import this_host
from core.runs.installed import versions_of
from core.runs.launch_file import DataFile, Launch
from core.workspace import Workspace

_PACKAGES = (
    *("finetui", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy"),
    "bitsandbytes",
)
CHECKOUT = Path(__file__).parents[2]
"""Where finetui's own files lie."""
_GIT_SECONDS = 2.0
_MOST_HASHED = 8 << 30


def recorded(launch: Launch, workspace: Workspace) -> Launch:
    """How something is started, with what every start records: where, when, on what, with which variables."""
    return replace(
        launch,
        directory=str(Path.cwd()),
        environment={**ENVIRONMENT, "FINETUI_WORKSPACE": str(workspace.root)},
        time=time.time(),
        host=this_host(),
        workspace=str(workspace.root),
        packages=packages(),
        commits=commits({"finetui": CHECKOUT, "workspace": workspace.root}),
    )


def packages() -> dict[str, str]:
    """Versions of what the training stands on, by name; those that are not installed are left out."""
    return {"python": platform.python_version(), **versions_of(_PACKAGES)}


def commits(folders: Mapping[str, Path]) -> dict[str, str]:
    """The commit that each folder is at, `+` behind it when files were changed since; those not in git are left out."""
    found = {name: commit for name, folder in folders.items() if (commit := _git(folder, "rev-parse", "HEAD"))}
    changed = {name for name in found if _git(folders[name], "status", "--porcelain", "--untracked-files=no")}
    return {name: commit + ("+" if name in changed else "") for name, commit in found.items()}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
        return done.stdout.strip()
    return ""


def data_file(dataset: str, path: Path) -> DataFile:
    """A file by its content; one beyond 8 GB by its size alone."""
    found = path.stat()
    digest = file_hash(path) if found.st_size <= _MOST_HASHED else ""
    return DataFile(dataset, str(path), found.st_size, digest, found.st_mtime)


def is_changed(recorded: DataFile, path: Path) -> bool:
    """Whether a file holds something else than when it was recorded. It is read where its time says that it may.

    Raises:
        OSError: it cannot be read.
    """
    found = path.stat()
    if found.st_size != recorded.bytes:
        return True
    if found.st_mtime == recorded.modified or not recorded.sha256:
        return False
    return _hash_of(path, found.st_size, found.st_mtime) != recorded.sha256


@functools.lru_cache(maxsize=256)
def _hash_of(path: Path, _size: int, _modified: float) -> str:
    """Once for all steps of a pipeline that read the same file."""
    return file_hash(path)


def data_files(named: Iterable[tuple[str, Path]]) -> tuple[DataFile, ...]:
    """(data set, file or folder) → every file, by its content. What cannot be read is left out: the checks tell it."""
    found = []
    for dataset, path in named:
        files = sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]
        for file in files:
            with contextlib.suppress(OSError):
                found.append(data_file(dataset, file))
    return tuple(found)


def code_files(values: Mapping[str, Any]) -> tuple[DataFile, ...]:
    """The Python files of the user's own among some options: what scores answers, and metrics."""
    scoring = function_file(values["reward_model"] or "") if "reward_model" in values else None
    named = [("reward_model", scoring)] if scoring is not None else []
    named += [("metrics", Path(name)) for name in values.get("metrics", ()) if name.endswith(".py")]
    return data_files(named)
