"""The folder that a person works in: where data, conversations, runs and models are looked for.

A workspace is any folder; the checkout is one, `finetui init DIR` makes another. What the app remembers about it (the
last model, parameters by model, logs) lies in its `.finetui/`, so that it moves and goes away with the workspace and
two workspaces never mix; that folder ignores itself for git. Nothing is created before something has to be written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import WorkspaceError
from core.i18n import _
from core.untrusted import inert_line

STATE_SCHEMA = 1
JUDGINGS = "judging"
"""The folder beside data sets in which pairs are drawn and judged."""
# A link to the checkout's data/, so that a wheel, which has no such folder, carries the files inside the package.
_BUNDLED_DATA = Path(__file__).parent / "bundled"
_BUNDLED_KINDS = {".json", ".jsonl", ".md"}  # not the scripts that made them; tests compare with pyproject.toml


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace by its folder. The folders in it need not exist yet."""

    root: Path

    @property
    def data(self) -> Path:
        """Data sets and `dataset_info.json`."""
        return self.root / "data"

    @property
    def sessions(self) -> Path:
        """Conversations, one JSONL each."""
        return self.root / "sessions"

    @property
    def runs(self) -> Path:
        """Run directories: trainings, evaluations."""
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Models that were pulled or put here, a folder each."""
        return self.root / "models"

    @property
    def state(self) -> Path:
        """What the app remembers, and its logs."""
        return self.root / ".finetui"

    @property
    def state_file(self) -> Path:
        """The last model and session, theme, parameters by model."""
        return self.state / "state.json"

    @property
    def logs(self) -> Path:
        """`app.log`, and what worker processes write to standard error."""
        return self.state / "logs"

    def make_state_folder(self) -> Path:
        """Create the state folder and the one for logs, and keep both out of git."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            ignore = self.state / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise _unwritable(self.state, error) from error
        return self.state

    def worker_log(self) -> Path:
        """Where the standard error of workers goes: nowhere, in a workspace that takes no files."""
        try:
            self.make_state_folder()
        except WorkspaceError:
            return Path(os.devnull)
        return self.logs / "worker.log" if os.access(self.logs, os.W_OK) else Path(os.devnull)


def find_workspace(explicit: Path | None = None) -> Workspace:
    """The workspace to use: the one named, FINETUI_WORKSPACE, the nearest upward with data sets, the current folder.

    Raises:
        WorkspaceError: the folder that was named is not there.
    """
    named = explicit or (Path(value) if (value := os.environ.get("FINETUI_WORKSPACE")) else None)
    if named is not None:
        root = named.expanduser().absolute()
        if not root.is_dir():
            raise WorkspaceError(
                _("{path} is no folder").format(path=inert_line(str(root))),
                _("make a workspace there with: finetui init {path}").format(path=inert_line(str(named))),
            )
        return Workspace(root)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "data" / "dataset_info.json").is_file():
            return Workspace(folder)
    return Workspace(here)


def init_workspace(folder: Path) -> tuple[Workspace, tuple[Path, ...]]:
    """Make a workspace, keeping whatever is there already.

    Returns:
        The workspace, and the folders and files that were made.
    """
    workspace = Workspace(folder.expanduser().absolute())
    made: list[Path] = []
    try:
        for path in (workspace.root, workspace.data, workspace.sessions, workspace.runs, workspace.models):
            if not path.is_dir():
                path.mkdir(parents=True)
                made.append(path)
        made.extend(_copy_bundled_data(workspace.data))
    except OSError as error:
        raise _unwritable(workspace.root, error) from error
    return workspace, tuple(made)


def _copy_bundled_data(data: Path) -> Iterator[Path]:
    """The bundled sets, file by file."""
    for path in sorted(path for path in _BUNDLED_DATA.iterdir() if path.suffix in _BUNDLED_KINDS):
        with contextlib.suppress(FileExistsError), (data / path.name).open("xb") as file:
            file.write(path.read_bytes())
            yield data / path.name


# --- what the app remembers -------------------------------------------------------------------------------------


def load_state(workspace: Workspace) -> dict[str, Any]:
    """What was remembered; nothing when there is no file, or one that cannot be read.

    Raises:
        WorkspaceError: a newer finetui wrote it.
    """
    try:
        state = json.loads(workspace.state_file.read_bytes())
    except (OSError, ValueError, RecursionError):  # forgetting is better than not starting
        return {}
    if not isinstance(state, dict):
        return {}
    schema = state.pop("schema", 1)
    if isinstance(schema, int) and schema > STATE_SCHEMA:
        raise WorkspaceError(
            _("{path} has schema {schema}; this finetui reads up to {known}").format(
                path=inert_line(str(workspace.state_file)), schema=schema, known=STATE_SCHEMA
            ),
            _("a newer finetui wrote it: update this one, or remove the file to forget what it remembers"),
        )
    return state


def save_state(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    """Remember changes beside what is remembered already, and return all of it.

    A dictionary is merged with the one remembered under its name; None forgets. Two apps may save at once: each keeps
    the other's changes.
    """
    workspace.make_state_folder()
    try:
        with _locked(workspace.state / "state.lock"):
            state = _merged(load_state(workspace), changes)
            write_json(workspace.state_file, {"schema": STATE_SCHEMA, **state})
            return state
    except OSError as error:
        raise _unwritable(workspace.state_file, error) from error


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in changes.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = _merged(before, value)
        else:
            merged[name] = value
    return merged


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader, a kill or a full disk never meets half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _unwritable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        _("cannot write {path}: {reason}").format(path=inert_line(str(path)), reason=error.strerror or str(error)),
        _("choose another workspace with --workspace or FINETUI_WORKSPACE"),
    )
