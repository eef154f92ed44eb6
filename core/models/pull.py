"""`pull`: a model by name, from a Python package or from the hub; and `remove`, its opposite.

Blocking; an app calls it in a thread and a command in its main thread. An interruption at any point leaves either the
whole model or none: packaged ones are made in a scratch folder and renamed, those of the hub are resumed by the next
pull and listed as unfinished until then.
"""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path

from core.errors import ModelError, ModelNotFound, PullFailed, did_you_mean
from core.i18n import _
from core.models.adapters import resolve_adapter
from core.models.catalog import resolve_model
from core.models.figures import size_text
from core.models.hub_cache import cached_snapshot, is_hub_id
from core.models.info import ModelInfo, is_model_folder, read_model
from core.models.installer import disk_full
from core.models.packaged import DEFAULT, PACKAGED_MODELS, PackagedModel, packaged_model
from core.models.progress import OnProgress, PullProgress
from core.models.pull_hub import pull_hub
from core.models.pull_packaged import pull_packaged
from core.untrusted import inert_line
from core.workspace import Workspace

__all__ = ["OnProgress", "PullProgress", "check_license", "pull", "remove"]


def pull(
    name: str,
    workspace: Workspace,
    on_progress: OnProgress,
    cancelled: threading.Event | None = None,
    *,
    accept_license: bool = False,
) -> ModelInfo:
    """Fetch a model unless it is there already.

    Args:
        name: `default`, another name of the catalogue, or a hub id `org/name`.
        accept_license: the user has accepted terms that go beyond an open licence.

    Raises:
        PullFailed: says why, and what to do; nothing half is left.
        ModelNotFound: there is nothing of that name to fetch.
    """
    cancelled = cancelled or threading.Event()
    entry = packaged_model(name)
    try:
        if entry is not None:
            return _pull_packaged(entry, workspace, on_progress, cancelled, accept_license)
        if is_hub_id(name):
            return _pull_hub(name, workspace, on_progress, cancelled)
    except OSError as error:
        raise _explain(error, workspace.models) from error
    known = [DEFAULT, *(entry.name for entry in PACKAGED_MODELS)]
    raise ModelNotFound(
        _("nothing to pull is called {name}").format(name=inert_line(name)),
        did_you_mean(name, known) or _("name one of {known}, or a hub id org/name").format(known=", ".join(known)),
    )


def _pull_packaged(
    entry: PackagedModel, workspace: Workspace, on_progress: OnProgress, cancelled: threading.Event, accepted: bool
) -> ModelInfo:
    folder = workspace.models / entry.name
    if not folder.exists():
        check_license(entry, accepted)
        pull_packaged(entry, workspace.models, on_progress, cancelled)
    model = read_model(folder, entry.name, "workspace")
    if model.problems:
        raise PullFailed(
            _("{name} is there already, but {problem}").format(name=entry.name, problem=model.problems[0]),
            _("remove it with: finetui models remove {name}; then pull again").format(name=entry.name),
        )
    on_progress(_done(model))
    return model


def check_license(entry: PackagedModel, accepted: bool) -> None:
    """Refuse a model whose terms the user has to accept first.

    Raises:
        PullFailed: names the terms and the option.
    """
    if entry.needs_acceptance and not accepted:
        raise PullFailed(
            _("{title} comes under terms of its own: {url}").format(title=entry.title, url=entry.license_url),
            _("read them, then: finetui models pull {name} --accept-license").format(name=entry.name),
        )


def _pull_hub(hub_id: str, workspace: Workspace, on_progress: OnProgress, cancelled: threading.Event) -> ModelInfo:
    snapshot = cached_snapshot(hub_id)
    whole = snapshot is not None and is_model_folder(snapshot) and not read_model(snapshot, "", "huggingface").problems
    if not whole:
        pull_hub(hub_id, on_progress, cancelled)
    model = resolve_model(hub_id, workspace)
    on_progress(_done(model))
    return model


def _done(model: ModelInfo) -> PullProgress:
    text = _("{name} is ready ({size})").format(name=model.name, size=size_text(model.size_bytes))
    return PullProgress("done", model.size_bytes, model.size_bytes, text)


def _explain(error: OSError, models: Path) -> PullFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(models)
    return PullFailed(
        _("cannot write to {folder}: {reason}").format(
            folder=inert_line(str(models)), reason=error.strerror or str(error)
        ),
        _("use a workspace of your own with --workspace or FINETUI_WORKSPACE"),
    )


def remove(name: str, workspace: Workspace) -> Path:
    """Delete a model or adapter from the workspace's `models/`; returns the folder that is gone.

    Raises:
        ModelError: it lies elsewhere (says which command removes it there), or cannot be deleted.
        ModelNotFound: there is none.
    """
    folder = workspace.models / (entry.name if (entry := packaged_model(name)) else name)
    if not _is_inside(folder, workspace.models):
        raise _not_ours(name, workspace)
    try:
        if folder.is_symlink():
            folder.unlink()  # what it points to is not ours
        else:
            shutil.rmtree(folder)
    except OSError as error:
        raise ModelError(
            _("cannot remove {name}: {reason}").format(name=inert_line(name), reason=error.strerror or str(error))
        ) from error
    return folder


def _is_inside(folder: Path, models: Path) -> bool:
    """Whether it is a folder of `models/`, not reached by `..`, and no hidden one."""
    parts = folder.relative_to(models).parts if folder.is_relative_to(models) else ()
    return bool(parts) and not any(part.startswith(".") for part in parts) and folder.is_dir()


def _not_ours(name: str, workspace: Workspace) -> ModelError:
    """Raises `ModelNotFound` when there is nothing of that name at all."""
    try:
        path = resolve_adapter(name, workspace).path
    except ModelNotFound:
        model = resolve_model(name, workspace)
        if model.source == "huggingface":
            return ModelError(
                _("{name} lies in the Hugging Face cache, which other tools use too").format(name=inert_line(name)),
                _("remove it there with: hf cache rm model/{name}").format(name=inert_line(name)),
            )
        path = model.path
    return ModelError(
        _("{path} lies outside the workspace's models/").format(path=inert_line(str(path))),
        _("finetui removes only what lies in {models}").format(models=inert_line(str(workspace.models))),
    )
