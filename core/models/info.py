"""A model folder described without loading it: `config.json`, safetensors headers, and what is missing.

A folder that is damaged, or that would run code when loaded, is described too; `problems` says why it cannot be used,
in the words that lists and errors show. Everything read from such folders is untrusted and made inert here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from core.errors import ModelError
from core.i18n import _
from core.models.notes import AdapterNotes
from core.models.safetensors_header import TensorHeader, main_dtype, read_header
from core.untrusted import inert_line

Source: TypeAlias = Literal["folder", "workspace", "huggingface"]
ORIGIN_FILE = "finetui_origin.json"
"""Written by `pull` beside the weights: package, hash, licence."""

_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "max_sequence_length")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "ice_text.model", "vocab.txt")


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An adapter folder: a small set of weights that changes a base model."""

    name: str
    path: Path
    method: str
    """`lora`, `dora`, `p_tuning`, …"""
    base_model: str
    """The base as its config names it."""
    rank: int | None
    parameters: int
    problems: tuple[str, ...] = ()
    prefix_length: int | None = None
    """Of a trained prefix, in tokens."""
    notes: AdapterNotes | None = None
    """What finetui wrote beside the weights."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A base model that was found, ready to load when it has no problems."""

    name: str
    """What the user types."""
    path: Path
    source: Source
    architecture: str = ""
    parameters: int = 0
    dtype: str = ""
    size_bytes: int = 0
    """Of the weights."""
    context_length: int = 0
    """0 when its config does not say."""
    license: str = ""
    has_chat_template: bool = False
    adapters: tuple[AdapterInfo, ...] = ()
    problems: tuple[str, ...] = ()


def is_model_folder(path: Path) -> bool:
    """Whether a folder claims to be a base model."""
    return is_file(path / "config.json")


def is_file(path: Path) -> bool:
    """Like `Path.is_file`, and False for names that no file can have, such as overlong ones."""
    try:
        return path.is_file()
    except OSError:
        return False


def typed_path(text: str) -> Path:
    """A path as the user typed it, `~` filled in where that is possible."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ of a user who does not exist
        return Path(text)


def read_model(path: Path, name: str, source: Source) -> ModelInfo:
    """Describe a model folder. Never fails for what is in it: that becomes a problem."""
    config: dict[str, Any] = {}
    problems: tuple[str, ...] = ()
    try:
        config = read_json(path / "config.json")
    except ModelError as error:
        problems = (error.message,)
    weights, missing = _weights(path)
    return ModelInfo(
        name=name,
        path=path,
        source=source,
        architecture=_architecture(config),
        parameters=sum(tensor.elements for tensor in weights.values()),
        dtype=_quantization(config) or main_dtype(weights.values()),
        size_bytes=sum(tensor.size_bytes for tensor in weights.values()),
        context_length=_context_length(config),
        license=_license(path),
        has_chat_template=_has_chat_template(path),
        problems=(*problems, *missing, *_custom_code(config), *_no_tokenizer(path)),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelError: it is not there, or holds no JSON object.
    """
    name = inert_line(path.name)
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(_("{file} cannot be read: {reason}").format(file=name, reason=error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(_("{file} is no JSON: {reason}").format(file=name, reason=inert_line(str(error)))) from error
    if not isinstance(value, dict):
        raise ModelError(_("{file} holds no JSON object").format(file=name))
    return value


# --- weights ----------------------------------------------------------------------------------------------------


def read_weights(path: Path) -> dict[str, TensorHeader]:
    """Headers of all weights of a model folder, as far as they can be read."""
    return _weights(path)[0]


def _weights(path: Path) -> tuple[dict[str, TensorHeader], tuple[str, ...]]:
    tensors: dict[str, TensorHeader] = {}
    problems: list[str] = []
    files, absent = _weight_files(path)
    for file in files:
        try:
            tensors |= read_header(file)
        except ModelError as error:
            problems.append(error.message)
    if absent:
        problems.append(_("{count} weight files are missing, such as {name}").format(count=len(absent), name=absent[0]))
    if not files and not absent:
        problems.append(_no_safetensors(path))
    return tensors, tuple(problems)


def _weight_files(path: Path) -> tuple[list[Path], list[str]]:
    """The safetensors files that make up the model, and the names of those its index lists but that are not there."""
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        whole = path / "model.safetensors"
        return ([whole] if whole.is_file() else sorted(path.glob("*.safetensors"))), []
    try:
        named = read_json(index).get("weight_map")
    except ModelError:
        return [], [index.name]
    names = sorted({name for name in named.values() if _is_file_name(name)}) if isinstance(named, dict) else []
    present = [path / name for name in names if (path / name).is_file()]
    return present, [inert_line(name) for name in names if not (path / name).is_file()]


def _is_file_name(name: object) -> bool:
    """An index must not lead out of the model's folder."""
    return isinstance(name, str) and Path(name).name == name


def _no_safetensors(path: Path) -> str:
    pickled = next((file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in sorted(path.glob(pattern))), None)
    if pickled is not None:
        return _("only pickled weights ({file}), which can run any code when loaded").format(file=inert_line(pickled))
    if any(path.glob("*.gguf")):
        return _("only GGUF weights, which are read when pulled, not when loaded")
    return _("no weights: a download that ended early?")


# --- what config.json says --------------------------------------------------------------------------------------


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else config.get("model_type")
    return inert_line(first) if isinstance(first, str) else ""


def context_length_of(folder: Path) -> int:
    """The most tokens that a model was made for; 0 where its config does not say."""
    try:
        return _context_length(read_json(folder / "config.json"))
    except ModelError:
        return 0


def _context_length(config: Mapping[str, Any]) -> int:
    sources = (_text_config(config), config)
    lengths = (source.get(name) for source in sources for name in _CONTEXT_FIELDS)
    return next((length for length in lengths if type(length) is int and length > 0), 0)


def _quantization(config: Mapping[str, Any]) -> str:
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    return inert_line(method) if isinstance(method, str) else ""


def _custom_code(config: Mapping[str, Any]) -> tuple[str, ...]:
    if not config.get("auto_map"):
        return ()
    return (_("wants to run code of its own (auto_map), which is refused without --trust_remote_code"),)


# --- what the other files say -----------------------------------------------------------------------------------


def _no_tokenizer(path: Path) -> tuple[str, ...]:
    return () if any((path / name).is_file() for name in _TOKENIZER_FILES) else (_("no tokenizer"),)


def _has_chat_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    try:
        return b'"chat_template"' in (path / "tokenizer_config.json").read_bytes()
    except OSError:
        return False


def _license(path: Path) -> str:
    """From what `pull` wrote, else from the front matter of the model card."""
    try:
        named = read_json(path / ORIGIN_FILE).get("license")
        return inert_line(named) if isinstance(named, str) else ""
    except ModelError:
        pass
    try:
        with (path / "README.md").open("rb") as card:
            head = card.read(8192).decode(errors="replace")
    except OSError:
        return ""
    front_matter = head.partition("---\n")[2].partition("\n---")[0] if head.startswith("---") else ""
    found = re.search(r"^license(?:_name)?:\s*(\S+)\s*$", front_matter, re.MULTILINE)
    return inert_line(found[1].strip("'\"")) if found else ""
