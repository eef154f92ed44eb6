"""Adapters on disk: what they change, and whether they fit a base model, both told before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import AdapterMismatch, ModelError, ModelNotFound, did_you_mean
from core.i18n import _
from core.models.info import AdapterInfo, ModelInfo, is_file, read_json, read_weights, typed_path
from core.models.notes import NOTES_FILE, PREFIX_FILE, AdapterNotes, read_notes
from core.models.safetensors_header import TensorHeader, read_header
from core.runs.catalog import is_run
from core.untrusted import inert_line
from core.workspace import Workspace

CONFIG_FILE = "adapter_config.json"
_WEIGHTS_FILE = "adapter_model.safetensors"
_LAYER = re.compile(r"\b(?:layers|h|blocks)\.\d+\..*")


def is_adapter_folder(path: Path) -> bool:
    """Whether a folder claims to be an adapter: PEFT's, or a prefix of ours."""
    return is_file(path / CONFIG_FILE) or is_file(path / PREFIX_FILE)


def read_adapter(path: Path, name: str) -> AdapterInfo:
    """Describe an adapter folder. Never fails for what is in it: that becomes a problem."""
    problems: list[str] = []
    config: dict[str, Any] = {}
    tensors: dict[str, TensorHeader] = {}
    notes: AdapterNotes | None = None
    has_config = is_file(path / CONFIG_FILE)
    try:
        notes = read_notes(path)
        config = read_json(path / CONFIG_FILE) if has_config else {}
    except ModelError as error:
        problems.append(error.message)
    try:
        tensors = read_header(path / (_WEIGHTS_FILE if has_config else PREFIX_FILE))
    except ModelError as error:
        pickled = (path / "adapter_model.bin").is_file() and not (path / _WEIGHTS_FILE).exists()
        problems.append(_("only pickled weights, which can run any code when loaded") if pickled else error.message)
    if not has_config and notes is None and not problems:
        problems.append(_("{file} is missing: nothing tells what this prefix belongs to").format(file=NOTES_FILE))
    rank, length = config.get("r"), config.get("num_virtual_tokens")
    prefix = notes.prefix if notes is not None and not has_config else None
    return AdapterInfo(
        name=name,
        path=path,
        method=_method(config) if has_config else "p_tuning",
        base_model=_text(config.get("base_model_name_or_path") or (notes.base if notes else "")),
        rank=rank if type(rank) is int else None,
        parameters=sum(tensor.elements for tensor in tensors.values()),
        problems=tuple(problems),
        prefix_length=prefix.pre_seq_len if prefix else length if type(length) is int else None,
        notes=notes,
    )


def _method(config: Mapping[str, Any]) -> str:
    kind = _text(config.get("peft_type")).lower()
    if kind == "lora":
        return "dora" if config.get("use_dora") is True else "lora"
    return "p_tuning" if kind == "prefix_tuning" else kind.replace("p_tuning", "prompt_encoder")


def _text(value: object) -> str:
    return inert_line(value) if isinstance(value, str) else ""


# --- finding ----------------------------------------------------------------------------------------------------


def find_adapters(workspace: Workspace, extra: Iterable[Path] = ()) -> list[AdapterInfo]:
    """The adapters in the workspace's runs (with their checkpoints) and models, and in the folders given."""
    return [read_adapter(path, name) for name, path in _named_folders(workspace, extra) if is_adapter_folder(path)]


def _named_folders(workspace: Workspace, extra: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for run in _folders(workspace.runs):
        yield run.name, run
        for checkpoint in (*_folders(run / "checkpoints"), *_folders(run)):
            yield f"{run.name}/{checkpoint.name}", checkpoint
    for folder in _folders(workspace.models):
        yield folder.name, folder
    for path in extra:
        yield str(path), path


def _folders(parent: Path) -> list[Path]:
    """Folders by name, the numbers in names by their value; hidden ones are half made."""
    try:
        found = [path for path in parent.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[str | int]:
    parts = re.split(r"(\d+)", path.name, flags=re.ASCII)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def resolve_adapter(name_or_path: str, workspace: Workspace) -> AdapterInfo:
    """The adapter of a name or a folder.

    Raises:
        ModelNotFound: there is none.
    """
    for path in _candidates(name_or_path, workspace):
        if is_adapter_folder(path):
            return read_adapter(path, name_or_path)
    known = find_adapters(workspace)
    for adapter in known:
        if adapter.name == name_or_path:
            return adapter
    raise ModelNotFound(
        _("no adapter {name}").format(name=inert_line(name_or_path)),
        _unsaved(name_or_path, workspace)
        or did_you_mean(name_or_path, [adapter.name for adapter in known])
        or _("name a folder with {file}, or one of the workspace's runs; finetui models list shows them").format(
            file=CONFIG_FILE
        ),
    )


def _unsaved(name_or_path: str, workspace: Workspace) -> str:
    """What a run that is there has saved instead of what is asked of it; empty where there is no such run."""
    run, _at, step = name_or_path.rpartition("@")
    if not (run and step.isdecimal()):
        run = name_or_path
    for folder in filter(is_run, typed_folders(run, workspace)):
        if is_file(folder / "config.json"):  # of a whole model
            continue
        saved = ", ".join(str(int(path.name[5:])) for path in sorted(folder.glob("checkpoints/step-[0-9]*")))
        if saved:
            return _("the run {run} has saved: {steps}; write {run}@STEP").format(run=inert_line(run), steps=saved)
        if not is_adapter_folder(folder):
            return _("the run {run} has saved no weights").format(run=inert_line(run))
    return ""


def _candidates(name_or_path: str, workspace: Workspace) -> Iterator[Path]:
    yield from typed_folders(name_or_path, workspace)
    run, _at, step = name_or_path.rpartition("@")
    if run and step.isdecimal():
        yield from checkpoint_folders(run, int(step), workspace)


def typed_folders(name_or_path: str, workspace: Workspace) -> Iterator[Path]:
    """Where a folder may lie that is named as from here, from the workspace or from its runs/."""
    path = typed_path(name_or_path)
    yield path.absolute()
    if not path.is_absolute():
        yield workspace.root / path
        yield workspace.runs / path


def checkpoint_folders(run: str, step: int, workspace: Workspace) -> Iterator[Path]:
    """Where `RUN@STEP` may lie: finetui's checkpoints, and those of LLaMA-Factory."""
    for folder in typed_folders(run, workspace):
        yield folder / "checkpoints" / f"step-{step:06d}"
        yield folder / f"checkpoint-{step}"


# --- does it fit? -----------------------------------------------------------------------------------------------


def belongs(adapter: AdapterInfo, model: ModelInfo) -> bool:
    """Whether the adapter names this model as its base: by folder, by name, or by the last part of either."""
    return bool(adapter.base_model) and (
        adapter.base_model in (model.name, str(model.path)) or _last_part(adapter.base_model) in _names_of(model)
    )


def _names_of(model: ModelInfo) -> set[str]:
    return {_last_part(model.name)} | ({_last_part(str(model.path))} if model.source != "huggingface" else set())


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()


def check_adapter(adapter: AdapterInfo, model: ModelInfo) -> tuple[str, ...]:
    """Compare an adapter with a base model by their headers.

    Returns:
        What should be said aloud although it can be loaded: above all, that it was trained on a base of another name.

    Raises:
        AdapterMismatch: it cannot be loaded onto this base: other shapes, other layers, or the adapter is damaged.
    """
    if adapter.problems:
        raise AdapterMismatch(
            _("the adapter {name} cannot be used: {problem}").format(name=adapter.name, problem=adapter.problems[0])
        )
    difference = _difference(adapter, model)
    if difference:
        raise AdapterMismatch(
            _("the adapter {adapter} does not fit {model}: {difference}").format(
                adapter=adapter.name, model=model.name, difference=difference
            ),
            _("it was trained on {base}").format(base=adapter.base_model or _("a base it does not name")),
        )
    if belongs(adapter, model) or not adapter.base_model:
        return ()
    told = _("the adapter {adapter} was trained on {base}, not on {model}; their shapes agree")
    return (told.format(adapter=adapter.name, base=adapter.base_model, model=model.name),)


def _difference(adapter: AdapterInfo, model: ModelInfo) -> str:
    base = {_place(name): tensor.shape for name, tensor in read_weights(model.path).items()}
    if not base:
        return ""
    if adapter.method in ("lora", "dora"):
        return _lora_difference(read_header(adapter.path / _WEIGHTS_FILE), base)
    if adapter.method == "p_tuning":
        own = adapter.path / PREFIX_FILE
        weights = own if is_file(own) else adapter.path / _WEIGHTS_FILE
        return _prefix_difference(read_header(weights), read_json(model.path / "config.json"))
    return ""


def _place(name: str) -> str:
    """A tensor's name from its layer on: what stands before differs between PEFT, checkpoints and wrappers."""
    found = _LAYER.search(name)
    return found[0] if found else name.removeprefix("base_model.model.")


def _lora_difference(adapter: Mapping[str, TensorHeader], base: Mapping[str, tuple[int, ...]]) -> str:
    absent = ""
    for name, (inputs, outputs) in _lora_sizes(adapter).items():
        shape = base.get(f"{name}.weight")
        if shape is None:
            absent = absent or (name if _LAYER.match(name) else "")  # a tied lm_head has no weight of its own
        elif {inputs, outputs} != set(shape) and len(shape) == 2:  # Conv1D stores its weight the other way round
            return _("{module} takes {inputs} and gives {outputs} there, {shape} here").format(
                module=inert_line(name), inputs=inputs, outputs=outputs, shape=" × ".join(map(str, shape))
            )
    if absent:
        return _("the model has no {module}").format(module=inert_line(absent))
    return ""


def _lora_sizes(adapter: Mapping[str, TensorHeader]) -> dict[str, tuple[int, int]]:
    """Input and output width of each adapted linear module: lora_A is [rank, in], lora_B is [out, rank]."""
    sizes: dict[str, tuple[int, int]] = {}
    for name, tensor in adapter.items():
        module, found, _rest = name.partition(".lora_A.")
        other = adapter.get(name.replace(".lora_A.", ".lora_B."))
        if found and other is not None and len(tensor.shape) == len(other.shape) == 2:
            sizes[_place(module + ".").rstrip(".")] = (tensor.shape[1], other.shape[0])
    return sizes


def _prefix_difference(adapter: Mapping[str, TensorHeader], config: Mapping[str, Any]) -> str:
    """A prefix is [tokens, layers · 2 (key, value) · key-value heads · head width]; a projection ends in that width."""
    table = adapter.get("prompt_embeddings") or adapter.get("embedding.weight")
    last, width = adapter.get("trans.2.weight"), _prefix_width(config)
    there = last.shape[0] if last is not None else table.shape[-1] if table is not None and table.shape else 0
    if table is None or not width or there == width:
        return ""
    return _("its prefix is {there} numbers wide, the model takes {here}").format(there=there, here=width)


def _prefix_width(config: Mapping[str, Any]) -> int:
    """0 when the config does not say."""
    nested = config.get("text_config")
    facts = nested if isinstance(nested, dict) else config
    names = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "head_dim")
    layers, heads, kv_heads, hidden, head_dim = (
        value if type(value := facts.get(name)) is int and value > 0 else 0 for name in names
    )
    return layers * 2 * (kv_heads or heads) * (head_dim or (hidden // heads if heads else 0))
