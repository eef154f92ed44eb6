"""`models list`: twenty models, each with three shards and an adapter, from headers alone."""

from __future__ import annotations

import json
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, median, report
from core.models.catalog import list_models
from core.workspace import Workspace

MODELS = 20
BUDGET = 50.0
_LAYERS, _SHARDS, _RUNS = 30, 3, 15


def make_model(folder: Path) -> None:
    """A model of 30 layers whose weights are a hole in a file."""
    folder.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    for shard in range(_SHARDS):
        _make_weights(folder / f"model-{shard + 1:05}-of-{_SHARDS:05}.safetensors", shard)


def _make_weights(path: Path, shard: int) -> None:
    header, offset = {}, 0
    for layer in range(shard, _LAYERS, _SHARDS):
        for matrix in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
            end = offset + 2 * 576 * 576
            name = f"model.layers.{layer}.{matrix}.weight"
            header[name] = {"dtype": "BF16", "shape": [576, 576], "data_offsets": [offset, end]}
            offset = end
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + offset)


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for number in range(MODELS):
            make_model(workspace.models / f"model-{number:02}")
        times = []
        for _ in range(_RUNS):
            started = time.perf_counter()
            found = list_models(workspace)
            times.append(1000 * (time.perf_counter() - started))
        assert len([model for model in found if Path(model.path).is_relative_to(folder)]) == MODELS
    yield Figure(f"list {MODELS} models, first time", times[0], "ms", BUDGET)
    yield Figure(f"list {MODELS} models, median", median(times), "ms", BUDGET)


if __name__ == "__main__":
    report(measure())
