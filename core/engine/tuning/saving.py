"""Whole models on disk: weights in the base's format, and everything that a chat needs beside them.

The folder may hold an earlier save: whatever weights lie there go first, for a loader that finds an old single file
beside new shards takes the old one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from core.engine.load import read_config
from core.engine.tuning.base import TrainingBase

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
)
CHAT_TEMPLATE_FILE = "chat_template.jinja"


def save_model(network: Any, base: TrainingBase, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a model folder.

    Args:
        network: without adapters.
        dtype: of the weights on disk; not given: as the base has them.
    """
    for stale in (*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")):
        stale.unlink()
    stored = dtype or stored_dtype(base.folder) or network.dtype
    weights = {
        name: tensor.to(stored) if tensor.is_floating_point() else tensor for name, tensor in _untied(network).items()
    }
    network.save_pretrained(folder, state_dict=weights)
    _set_dtype(folder / "config.json", stored)
    copy_tokenizer(base, folder)


def _untied(network: Any) -> dict[str, torch.Tensor]:
    """The weights, each once: tied ones would be two tensors as soon as their format changes."""
    weights: dict[str, torch.Tensor] = network.state_dict()
    tied = getattr(network, "all_tied_weights_keys", None) or {}
    same = {name for name, source in tied.items() if weights[name].data_ptr() == weights[source].data_ptr()}
    return {name: tensor for name, tensor in weights.items() if name not in same}


def stored_dtype(folder: Path) -> torch.dtype | None:
    """The number format of a model folder's weights, as its configuration says."""
    config = read_config(folder)
    name = config.get("dtype") or config.get("torch_dtype")
    found = getattr(torch, name, None) if isinstance(name, str) else None
    return found if isinstance(found, torch.dtype) else None


def _set_dtype(path: Path, dtype: torch.dtype) -> None:
    """What the configuration says is what it was computed in; it has to be what lies beside it."""
    config = json.loads(path.read_bytes())
    config["dtype"] = str(dtype).removeprefix("torch.")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def copy_tokenizer(base: TrainingBase, folder: Path) -> None:
    """The tokenizer's files, and the chat template that was trained under as the model's own."""
    for name in _TOKENIZER_FILES:
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / name)
    (folder / CHAT_TEMPLATE_FILE).write_text(base.template.source, encoding="utf-8")
