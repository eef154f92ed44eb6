"""Adapters made into a whole model, by a process of its own; and an adapter's own files copied out of a run.

Merging needs torch and the memory of the whole model; so a child does it, in a scratch folder beside the destination,
and the finished folder is renamed into place.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelError, PullFailed
from core.i18n import _
from core.models.adapters import CONFIG_FILE, check_adapter, is_adapter_folder, resolve_adapter
from core.models.catalog import resolve_model
from core.models.child import Ended, run_child
from core.models.info import AdapterInfo, ModelInfo, is_model_folder, read_weights, typed_path
from core.models.notes import NOTES_FILE, PREFIX_FILE
from core.models.scratch import check_space, publish, scratch_folder
from core.untrusted import inert_line
from core.workspace import Workspace

_ADAPTER_FILES = (CONFIG_FILE, "adapter_model.safetensors", PREFIX_FILE, NOTES_FILE, "README.md")
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MergeCommand = Callable[[Path], list[str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far logits lie apart, over all positions of the probe prompts."""

    difference: float
    size: float
    positions: int
    same_choices: int


@dataclass(frozen=True, slots=True)
class Exported:
    """A merged model, and what was compared."""

    path: Path
    model: str
    adapters: tuple[str, ...]
    """In the order in which they were merged."""
    dtype: str
    probes: int
    merging: Difference
    """Between the adapters beside the base and merged into it, in float32."""
    stored: Difference
    """Between that and what was written, loaded again."""

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "path": str(self.path)}


def merge_command(request: Path) -> list[str]:
    """The process that merges; the only place of an export with torch in it."""
    return [sys.executable, "-P", "-m", "core.engine.merge", str(request)]


def export(
    names: Sequence[str],
    workspace: Workspace,
    *,
    output: Path | None = None,
    model: str = "",
    dtype: str = "auto",
    device: str = "auto",
    on_stage: Callable[[str], None] = lambda _stage: None,
    cancelled: threading.Event | None = None,
    command: MergeCommand = merge_command,
) -> Exported:
    """Merge adapters, in their order, into the model that they were trained on.

    Args:
        names: runs, checkpoints or adapter folders.
        output: the new model's folder; not given: `models/NAME-merged`.
        model: the base; not given: the one that the first adapter names.
        dtype: of the written weights; auto: as the base's.

    Raises:
        ModelError: something is no adapter that can be merged, does not fit, or would answer otherwise.
    """
    adapters = [_mergeable(name, workspace) for name in names]
    base = _base(adapters, model, workspace)
    for adapter in adapters:
        check_adapter(adapter, base)
    target = _target(output, adapters[-1], workspace, "merged")
    with scratch_folder(target.parent, target.name) as scratch:
        check_space(target.parent, _bytes_needed(base, dtype))
        merged = scratch / "model"
        merged.mkdir()
        request = scratch / "request.json"
        paths = [str(adapter.path.absolute()) for adapter in adapters]
        fields = {"model": str(base.path.absolute()), "adapters": paths, "folder": str(merged)}
        request.write_text(json.dumps({**fields, "dtype": dtype, "device": device}))
        result = _result(_run(command(request), scratch, cancelled or threading.Event(), on_stage))
        publish(merged, target)
    return Exported(
        path=target,
        model=base.name,
        adapters=tuple(result["adapters"]),
        dtype=result["dtype"],
        probes=result["probes"],
        merging=Difference(**result["merging"]),
        stored=Difference(**result["stored"]),
    )


def _mergeable(name: str, workspace: Workspace) -> AdapterInfo:
    folder = _folder(name, workspace)
    if folder is not None and is_model_folder(folder) and not is_adapter_folder(folder):
        raise ModelError(
            _("{name} is a whole model already: there is nothing to merge").format(name=inert_line(name)),
            _("use its folder as a model: {path}").format(path=inert_line(str(folder))),
        )
    adapter = resolve_adapter(name, workspace)
    if adapter.method == "p_tuning":
        raise ModelError(
            _("{name} is a prefix, which cannot be merged: it is no change of weights").format(name=inert_line(name)),
            _("finetui export {name} --adapter-only copies it; it is loaded beside its base").format(
                name=inert_line(name)
            ),
        )
    return adapter


def _folder(name: str, workspace: Workspace) -> Path | None:
    path = typed_path(name)
    places = (path.absolute(), workspace.root / path, workspace.runs / path)
    return next((place for place in places if is_model_folder(place)), None)


def _base(adapters: Sequence[AdapterInfo], model: str, workspace: Workspace) -> ModelInfo:
    name = model or adapters[0].base_model
    if not name:
        raise ModelError(
            _("{name} does not say on which model it was trained").format(name=inert_line(adapters[0].name)),
            _("name it with --model"),
        )
    found = resolve_model(name, workspace)
    if found.problems:
        raise ModelError(_("{model} cannot be used: {problem}").format(model=found.name, problem=found.problems[0]))
    return found


def _target(output: Path | None, adapter: AdapterInfo, workspace: Workspace, ending: str) -> Path:
    """A folder that is not there yet."""
    own = adapter.name.strip("/").replace("/", "-").strip("-.") or adapter.path.name
    target = (workspace.models / f"{own}-{ending}" if output is None else output.expanduser()).absolute()
    if target.exists():
        raise ModelError(
            _("{path} is there already").format(path=inert_line(str(target))),
            _("name another folder with --output, or remove it first"),
        )
    return target


def _bytes_needed(base: ModelInfo, dtype: str) -> int:
    weights = read_weights(base.path).values()
    size = _BYTES.get(dtype)
    return sum(tensor.elements * size if size else tensor.size_bytes for tensor in weights)


def _run(command: Sequence[str], scratch: Path, cancelled: threading.Event, on_stage: Callable[[str], None]) -> Ended:
    told = 0

    def report(records: list[dict[str, Any]]) -> None:
        nonlocal told
        stages = [str(record["stage"]) for record in records if "stage" in record]
        for stage in stages[told:]:
            on_stage(stage)
        told = len(stages)

    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    try:
        return run_child(command, scratch, cancelled, report, quiet)
    except PullFailed as error:
        raise ModelError(_("the export was cancelled"), _("nothing half is left")) from error


def _result(ended: Ended) -> dict[str, Any]:
    last = (ended.records() or [{}])[-1]
    result = last.get("result")
    if isinstance(result, dict):
        return result
    error = last.get("error")
    if isinstance(error, dict):
        raise ModelError(str(error.get("message", "")), str(error.get("hint", "")))
    if ended.code == -9:
        raise ModelError(
            _("merging was killed by signal 9: most likely out of memory"),
            _("it needs four bytes for each of the model's parameters; close something"),
        )
    raise ModelError(_("merging failed: {reason}").format(reason=inert_line(ended.last_error_line) or ended.code))


def export_adapter(name: str, workspace: Workspace, output: Path | None = None) -> Path:
    """Copy an adapter's own files out of a run, without its checkpoints and logs; returns the new folder.

    Raises:
        ModelError: there is no such adapter, or the folder exists.
    """
    adapter = resolve_adapter(name, workspace)
    target = _target(output, adapter, workspace, "adapter")
    with scratch_folder(target.parent, target.name) as scratch:
        copied = scratch / "adapter"
        copied.mkdir()
        for file in _ADAPTER_FILES:
            if (adapter.path / file).is_file():
                shutil.copyfile(adapter.path / file, copied / file)
        publish(copied, target)
    return target
