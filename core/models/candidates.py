"""Who is evaluated: a model by itself, or with one adapter. Names that are typed become those, each told apart.

Where adapters are named, a folder that holds a whole model is taken too: runs of full and freeze training make those,
and a user who evaluates runs need not know which made what.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import ModelNotFound
from core.i18n import _
from core.models.adapters import belongs, checkpoint_folders, resolve_adapter, typed_folders
from core.models.catalog import list_models, resolve_model
from core.models.info import AdapterInfo, ModelInfo, is_model_folder, read_model
from core.models.notes import PREFIX_FILE, base_hashes, sha256_of
from core.untrusted import inert_line
from core.workspace import Workspace

_WEIGHTS = ("adapter_model.safetensors", PREFIX_FILE)
_STEP = re.compile(r"(?:step|checkpoint)-(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model as it answers."""

    name: str
    """As tables show it; no two of an evaluation are called the same."""
    model: ModelInfo
    adapter: AdapterInfo | None = None
    """None: the model by itself."""

    @property
    def path(self) -> Path:
        """The folder of what makes it itself."""
        return self.adapter.path if self.adapter is not None else self.model.path

    def sha256(self) -> str:
        """Of an adapter's weights, or of a model's configuration: what another training in the folder changes."""
        if self.adapter is not None:
            return sha256_of(self.path / name for name in _WEIGHTS)
        return base_hashes(self.path)[0]


def resolve_candidate(name: str, workspace: Workspace) -> AdapterInfo | ModelInfo:
    """What a name means where adapters are named: an adapter, or a whole model that a run made.

    Args:
        name: a run, `RUN/step-000200`, `RUN@200`, a folder, a model.

    Raises:
        ModelNotFound: there is neither; says what is near.
    """
    try:
        return resolve_adapter(name, workspace)
    except ModelNotFound:
        run, _at, step = name.rpartition("@")
        at_step = checkpoint_folders(run, int(step), workspace) if run and step.isdecimal() else ()
        for path in (*typed_folders(name, workspace), *at_step):
            if is_model_folder(path):
                return read_model(path, name, "folder")
        with contextlib.suppress(ModelNotFound):
            return resolve_model(name, workspace)
        raise


def base_of(adapter: AdapterInfo, workspace: Workspace) -> ModelInfo:
    """The model that an adapter was trained on.

    Raises:
        ModelNotFound: it does not tell, or that model is not here.
    """
    models = [model for model in list_models(workspace) if belongs(adapter, model)]
    if models:
        return models[0]
    if adapter.base_model:
        return resolve_model(adapter.base_model, workspace)
    told = _("the adapter {adapter} does not say which model it was trained on")
    hint = _("name that with --model_name_or_path")
    raise ModelNotFound(told.format(adapter=inert_line(adapter.name)), hint)


def candidates_of(
    model: ModelInfo | None, named: Sequence[AdapterInfo | ModelInfo], workspace: Workspace, *, include_base: bool
) -> tuple[Candidate, ...]:
    """Those who answer: the model where nobody else does or it is asked for, then the others in their order.

    Args:
        model: the base of the adapters; None where only whole models are named.
    """
    found = []
    if model is not None and (include_base or not named):
        found.append(Candidate(_name_of(model, workspace), model))
    for other in named:
        if isinstance(other, ModelInfo):
            found.append(Candidate(_name_of(other, workspace), other))
        elif model is not None:
            found.append(Candidate(folder_name(other.path, workspace), model, other))
    return _told_apart(found)


def find_candidates(values: Mapping[str, Any], workspace: Workspace) -> tuple[Candidate, ...]:
    """Those whom an evaluation's options name (`core.config.evaluation`).

    Raises:
        ModelNotFound: there is no such model or adapter.
    """
    named = [resolve_candidate(name, workspace) for name in values["adapter_name_or_path"]]
    needed = values["include_base"] or not named or any(isinstance(found, AdapterInfo) for found in named)
    model = resolve_model(values["model_name_or_path"], workspace) if needed else None
    return candidates_of(model, named, workspace, include_base=values["include_base"])


def _name_of(model: ModelInfo, workspace: Workspace) -> str:
    return inert_line(model.name) if model.source == "huggingface" else folder_name(model.path, workspace)


def folder_name(path: Path, workspace: Workspace) -> str:
    """What people call a folder: the way from runs/ or models/, or its last part; `RUN@200` for a checkpoint."""
    for base in (workspace.runs, workspace.models):
        with contextlib.suppress(ValueError):
            return _without_middle(path.absolute().relative_to(base.absolute()))
    parts = [part for part in path.absolute().parts if part != "checkpoints"]
    return _without_middle(Path(*parts[-2:])) if _STEP.fullmatch(path.name) else inert_line(path.name)


def _without_middle(path: Path) -> str:
    """`zh/checkpoints/step-000200` → `zh@200`."""
    step = _STEP.fullmatch(path.name)
    run = "/".join(part for part in path.parts[:-1] if part != "checkpoints")
    return inert_line(f"{run}@{int(step[1])}" if step and run else path.as_posix())


def _told_apart(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Two folders of one name get their parents' names too; what is still the same, a number."""
    counts = Counter(candidate.name for candidate in found)
    longer = [
        replace(candidate, name=inert_line("/".join(candidate.path.parts[-2:])))
        if counts[candidate.name] > 1
        else candidate
        for candidate in found
    ]
    seen: Counter[str] = Counter()
    apart = []
    for candidate in longer:
        seen[candidate.name] += 1
        again = seen[candidate.name]
        apart.append(replace(candidate, name=f"{candidate.name} ({again})") if again > 1 else candidate)
    return tuple(apart)
