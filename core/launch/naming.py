"""What runs are called, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from core.models.info import typed_path
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


def run_folder(output_dir: str, workspace: Workspace) -> Path:
    """The folder of an `output_dir`: a bare name lies in the workspace's runs/, a path is taken as it is."""
    path = typed_path(output_dir)
    bare = len(path.parts) == 1 and not path.is_absolute() and path.name and not re.search(r"[/\\]", output_dir)
    return workspace.runs / path.name if bare else path.absolute()


def joined_name(first: str, names: tuple[str, ...]) -> str:
    """`lora-telecom_train_400`, with a plus where there are more sets."""
    sets = [plain_name(Path(name).stem) for name in names] or ["run"]
    return f"{first}-{sets[0]}" + ("+" if len(sets) > 1 else "")


def plain_name(text: str) -> str:
    """A text as part of a folder's name."""
    return re.sub(r"[^\w.-]+", "_", text)


def lasting_places(
    run: RunDirectory, data: Path, workspace: Workspace, why_so_named: str
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Option → (value, why): where a run lies and its data, by names that mean the same from any folder."""
    yield "output_dir", (run.name if run.path.parent == workspace.runs else str(run.path), why_so_named)
    if not data.is_relative_to(workspace.root):
        yield "dataset_dir", (str(data), "")


def unused(path: Path) -> Path:
    """The path, or the first of it with a number that is free."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
