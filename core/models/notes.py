"""What travels with trained weights: everything that a chat has to do as the training did, in `finetui.json`.

Weights alone do not tell which template, system prompt and prefix they were trained under, nor on which of several
bases of the same shapes; answers under others are worse, and nothing looks broken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ModelError, RecordError
from core.i18n import _
from core.records import from_record, registry, to_record

NOTES_FILE = "finetui.json"
PREFIX_FILE = "prefix_encoder.safetensors"
SCHEMA = 1
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True, slots=True)
class MergedAdapter:
    """An adapter that was merged into the base before the training began."""

    path: str
    sha256: str
    """Of its weights."""


@dataclass(frozen=True, slots=True)
class PrefixFacts:
    """The shape of a trained prefix."""

    pre_seq_len: int
    projection: bool = False
    """Whether the prefix is made by a small network."""
    first_position: int = 0
    """Where a text's positions begin: 0 as in P-Tuning v2, behind the prefix as PEFT counts."""
    in_window: bool = False
    """Whether a sliding window moves past the prefix, as with PEFT's; else every token sees it."""


@dataclass(frozen=True, slots=True)
class AdapterNotes:
    """The facts of a training that its weights need later."""

    method: str = ""
    stage: str = ""
    """Of the training: sft, rm, dpo, ppo; empty in notes of before there were others than sft."""
    schema: int = SCHEMA
    base: str = ""
    """The model that it was trained on: a name, or the folder."""
    base_config_sha256: str = ""
    tokenizer_sha256: str = ""
    template: str = ""
    """`tokenizer` for the model's own, else the name of a bundled one."""
    template_sha256: str = ""
    default_system: str = ""
    source_prefix: str = ""
    enable_thinking: bool | None = None
    chain: tuple[MergedAdapter, ...] = ()
    """What belongs between base and adapter, in this order."""
    prefix: PrefixFacts | None = None
    quantization_bit: int | None = None
    datasets: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


_RECORDS = registry(AdapterNotes)


def write_notes(folder: Path, notes: AdapterNotes) -> None:
    """Put the notes beside the weights."""
    text = json.dumps(to_record(notes) | {"schema": notes.schema}, ensure_ascii=False, indent=2)
    (folder / NOTES_FILE).write_text(text + "\n", encoding="utf-8")


def read_notes(folder: Path) -> AdapterNotes | None:
    """The notes of a folder; None for what others have trained.

    Raises:
        ModelError: they are damaged, or of a newer finetui.
    """
    path = folder / NOTES_FILE
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(_("{path} cannot be read: {error}").format(path=path, error=error)) from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        told = _("{path} was written by a newer finetui (schema {there}, this one knows {here})")
        raise ModelError(told.format(path=path, there=schema, here=SCHEMA), _("update finetui"))
    try:
        return from_record(_RECORDS, record)
    except RecordError as error:
        raise ModelError(_("{path} is damaged: {error}").format(path=path, error=error.message)) from error


def sha256_of(paths: Iterable[Path]) -> str:
    """One hash over files; those that are not there count for nothing, none at all give an empty text."""
    found = [path for path in paths if path.is_file()]
    total = hashlib.sha256()
    for path in found:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if found else ""


def base_hashes(folder: Path) -> tuple[str, str]:
    """Hashes of a model folder's configuration and of its tokenizer."""
    return sha256_of([folder / "config.json"]), sha256_of(folder / name for name in _TOKENIZER_FILES)


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
