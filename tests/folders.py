"""Folders that look real from outside: models of configuration, header and template, whose weights are holes in files,
and data."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROW = {"instruction": "a question", "input": "", "output": "an answer"}
_WIDTH = 576
_MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def make_model(folder: Path, *, layers: int = 2, shards: int = 1) -> Path:
    """A llama that can be listed, and chosen when a scripted worker answers."""
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _WIDTH,
        "num_hidden_layers": layers,
        "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (folder / "tokenizer.json").write_text("{}")
    for shard in range(shards):
        shapes = {
            f"model.layers.{layer}.{matrix}.weight": [_WIDTH, _WIDTH]
            for layer in range(shard, layers, shards)
            for matrix in _MATRICES
        }
        name = "model.safetensors" if shards == 1 else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        make_weights(folder / name, shapes)
    return folder


def make_data(folder: Path, rows: Iterable[dict[str, Any]] = (ROW,), name: str = "intro") -> Path:
    """A folder of data with one set."""
    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps({name: {"file_name": f"{name}.jsonl"}}))
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make_adapter(folder: Path, base: str, *, layers: int = 2, rank: int = 8) -> Path:
    """A LoRA adapter of `make_model`'s llama."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": rank, "lora_alpha": 16}
    config["target_modules"] = ["q_proj"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    shapes = {}
    for layer in range(layers):
        stem = f"base_model.model.model.layers.{layer}.q_proj"
        shapes |= {f"{stem}.lora_A.weight": [rank, _WIDTH], f"{stem}.lora_B.weight": [_WIDTH, rank]}
    make_weights(folder / "adapter_model.safetensors", shapes)
    return folder


def make_weights(path: Path, shapes: dict[str, list[int]]) -> None:
    """A safetensors file of bf16 matrices: a true header, and a hole where the numbers would be."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + offset)
