"""Which runs there are: folders below the workspace's runs/, and folders elsewhere that were entered in a list.

The list (`.finetui/runs.json`) holds paths and nothing else; whatever is told about a run comes from its folder.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from core.errors import RunNotFound, did_you_mean
from core.i18n import _
from core.runs.foreign import is_foreign_run
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace, write_json

_DEPTH = 4  # LLaMA-Factory's saves/MODEL/METHOD/STAGE, put into runs/


def is_run(folder: Path) -> bool:
    """Whether a run was started in a folder, by finetui or by a tool whose files it reads."""
    run = RunDirectory(folder)
    return run.launch.is_file() or run.events.is_file() or is_foreign_run(folder)


def list_runs(workspace: Workspace) -> list[RunDirectory]:
    """All runs, the newest last."""
    own = _below(workspace.runs, _DEPTH)
    listed = (path for path in _listed(workspace) if is_run(path))
    found = {path.resolve(): RunDirectory(path) for path in (*own, *listed)}
    return sorted(found.values(), key=_age)


def run_name(run: RunDirectory, workspace: Workspace) -> str:
    """What one types to mean a run: its name, or the way to it from runs/, or from here."""
    for base in (workspace.runs, Path.cwd(), workspace.root):
        with contextlib.suppress(ValueError):
            return run.path.relative_to(base).as_posix()
    return str(run.path)


def called(name: str) -> str:
    """What people call what was named by its path: `persona-rm`, `persona-rm@200` in a run, else its last two parts.

    Other names, addresses too, stay as they are.
    """
    path = Path(name)
    if not path.is_absolute():
        return name
    for folder in (path, *path.parents[:2]):
        if RunDirectory(folder).launch.is_file():
            step = path.name.rpartition("-")[2].lstrip("0")
            return f"{folder.name}@{step}" if folder == path.parent.parent else folder.name
    return "/".join(path.parts[-2:])


def find_run(name: str, workspace: Workspace) -> RunDirectory:
    """The run of a name or a folder; `last` is the newest.

    Raises:
        RunNotFound: there is none; names the nearest.
    """
    typed = Path(name).expanduser()
    for path in (workspace.runs / typed, typed.absolute(), workspace.root / typed):
        if is_run(path):
            return RunDirectory(path)
    runs = list_runs(workspace)
    same = [run for run in runs if run.name == name] or (runs[-1:] if name == "last" else [])
    if same:
        return same[-1]
    known = [run_name(run, workspace) for run in runs]
    hint = did_you_mean(name, known) or (
        _("there are: {names}").format(names=inert_line(", ".join(known[-10:])))
        if known
        else _("start one with: finetui train")
    )
    raise RunNotFound(_("no run {name}").format(name=inert_line(name)), hint)


def enter_run(run: RunDirectory, workspace: Workspace) -> None:
    """Have a run listed whose folder lies elsewhere."""
    if run.path.resolve().is_relative_to(workspace.runs.resolve()):
        return
    paths = _listed(workspace)
    if run.path not in paths:
        _write_list(workspace, [*filter(Path.is_dir, paths), run.path])


def strike_run(run: RunDirectory, workspace: Workspace) -> None:
    """Have a run no longer listed."""
    paths = _listed(workspace)
    if run.path in paths:
        _write_list(workspace, [path for path in paths if path != run.path])


def entered_folders(workspace: Workspace) -> list[Path]:
    """The folders elsewhere that were entered, whatever they hold."""
    return [path for path in _listed(workspace) if path.is_dir()]


def _list_file(workspace: Workspace) -> Path:
    return workspace.state / "runs.json"


def _listed(workspace: Workspace) -> list[Path]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        listed = json.loads(_list_file(workspace).read_bytes())
        paths = listed.get("runs") if isinstance(listed, dict) else None
        return [workspace.root / path for path in paths or [] if isinstance(path, str)]
    return []


def _write_list(workspace: Workspace, paths: list[Path]) -> None:
    workspace.make_state_folder()
    texts = []
    for path in paths:
        inside = path.is_relative_to(workspace.root)  # a workspace that moves takes its runs with it
        texts.append(str(path.relative_to(workspace.root) if inside else path))
    write_json(_list_file(workspace), {"schema": 1, "runs": texts})


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError:
        return
    for child in children:
        if is_run(child):
            yield child
        elif depth > 1:
            yield from _below(child, depth - 1)


def _age(run: RunDirectory) -> tuple[float, str]:
    """When a run began: its launch file is written at the start. A folder of another tool: when it was last written."""
    for path in (run.launch, run.events, run.path):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime, str(run.path)
    return 0.0, str(run.path)
