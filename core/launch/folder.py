"""A run's folder before and after the run: whether it may be used, and how it is emptied.

Nothing is deleted that a run cannot have written: a folder counts as a run's by the files that say so, and never when
it holds a workspace, somebody's home, a repository or the place where one stands.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from core.errors import RunError
from core.i18n import _
from core.runs.catalog import is_run
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of, wait_gone
from core.untrusted import inert_line
from core.workspace import Workspace

_NOT_OF_A_RUN = (".git", "dataset_info.json", "data/dataset_info.json", "pyproject.toml")


def refuse_active(run: RunDirectory) -> None:
    """See to it that nothing writes to a run's folder any more; waits for what comes after its last word.

    Raises:
        RunError: the run goes on, or waits for its turn.
    """
    if is_run(run.path) and (is_active(state_of(run)) or not wait_gone(run)):
        name = inert_line(run.name)
        if "stop" in run.wishes():
            told = _("the run {name} was asked to end, and has not yet").format(name=name)
            raise RunError(told, _("wait for it; sooner: finetui runs stop {name} --now").format(name=name))
        told = _("the run {name} is still going on").format(name=name)
        raise RunError(told, _("stop it first: finetui runs stop {name}").format(name=name))


def make_folder(run: RunDirectory, workspace: Workspace, *, overwrite: bool) -> None:
    """Make a new run's folder. One that is there is used when it is empty, or emptied when that is asked for.

    Raises:
        RunError: there is something in it already, or it cannot be made.
    """
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        run.path.mkdir()  # of two that are started at once under one name, one has it
    except FileExistsError:
        refuse_used(run, overwrite=overwrite)
        if any(run.path.iterdir()):
            clear_folder(run, workspace)
    except OSError as error:
        raise _unusable(run, error) from error


def refuse_used(run: RunDirectory, *, overwrite: bool, needed: Iterable[Path] = ()) -> None:
    """See to it that a folder can become this run's.

    Args:
        needed: what the run stands on; a folder that holds any of it is not emptied.

    Raises:
        RunError: it cannot; names both ways out.
    """
    path = inert_line(str(run.path))
    if run.path.exists() and not run.path.is_dir():
        raise RunError(_("{path} is no folder").format(path=path), _("choose another output_dir"))
    if not run.path.is_dir() or not any(run.path.iterdir()):
        return
    refuse_active(run)
    if not overwrite:
        raise RunError(
            _("{path} is there already").format(path=path),
            _("choose another output_dir, or give --overwrite_output_dir to delete what is in it"),
        )
    if not is_run(run.path):
        raise RunError(
            _("{path} holds files that no run wrote").format(path=path),
            _("choose another output_dir: overwrite_output_dir deletes runs alone"),
        )
    held = next((held for held in needed if held.resolve().is_relative_to(run.path.resolve())), None)
    if held is not None:
        what = _("{path} holds what this run needs, and overwrite_output_dir would delete it: {needed}")
        raise RunError(what.format(path=path, needed=inert_line(str(held))), _("choose another output_dir"))


def clear_folder(run: RunDirectory, workspace: Workspace) -> None:
    """Delete all that is in a run's folder.

    Raises:
        RunError: it holds what no run writes, or cannot be emptied.
    """
    path = run.path.resolve()
    kept = (Path.cwd(), Path.home(), workspace.root, workspace.data, workspace.models, workspace.sessions)
    holds = next((other for other in kept if other.resolve().is_relative_to(path)), None)
    found = next((name for name in _NOT_OF_A_RUN if (path / name).exists()), None)
    if not is_run(run.path) or holds or found:
        told = _("{path} holds more than a run: {what}; nothing was deleted")
        what = inert_line(str(holds or found or _("other files")))
        raise RunError(told.format(path=inert_line(str(run.path)), what=what), _("delete it by hand"))
    try:
        for child in run.path.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    except OSError as error:
        raise _unusable(run, error) from error


def _unusable(run: RunDirectory, error: OSError) -> RunError:
    return RunError(
        _("cannot use {path}: {reason}").format(path=inert_line(str(run.path)), reason=error.strerror or str(error))
    )
