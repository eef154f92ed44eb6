"""A workspace with pairs of answers that a tiny model can learn to tell apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from core.runs.events import Step
from core.workspace import Workspace
from tiny_models import make_model
from training_runs import Trained

GOOD, BAD = ("glad", "thanks", "sure", "happy"), ("no", "never", "bah", "go away")
SMALL_PAIRS: dict[str, Any] = {"dataset": ("pairs",), "per_device_train_batch_size": 4, "learning_rate": 5e-3}


def pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Comparisons in seed 001's format: friendly words are better, whatever else is said."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        said = [
            " ".join([draw.choice(words), *(["so"] * draw.randint(0, 3)), draw.choice(words)]) for words in (GOOD, BAD)
        ]
        history = [["Hello?", "Hello."]] if number % 3 == 0 else []
        rows.append({"instruction": f"Question {number}?", "input": "", "output": said, "history": history})
    return rows


def make_pair_workspace(root: Path, kind: str = "llama", count: int = 26) -> Workspace:
    """A workspace with the comparisons `pairs` and `judged`, the questions `asked` and the model `tiny`."""
    (root / "data").mkdir(parents=True)
    (root / "runs").mkdir()
    sets = {"pairs": pairs(count), "judged": pairs(20, seed=1)}
    info: dict[str, Any] = {
        name: {
            "file_name": f"{name}.json",
            "ranking": True,
            "columns": {"prompt": "instruction", "query": "input", "response": "output", "history": "history"},
        }
        for name in sets
    }
    asked = [{"instruction": row["instruction"], "input": "", "output": row["output"][0]} for row in sets["pairs"]]
    info["asked"] = {"file_name": "asked.json"}
    for name, rows in {**sets, "asked": asked}.items():
        (root / "data" / f"{name}.json").write_text(json.dumps(rows))
    (root / "data" / "dataset_info.json").write_text(json.dumps(info))
    make_model(root / "models" / "tiny", kind)
    return Workspace(root)


def weights_of(trained: Trained) -> dict[str, torch.Tensor]:
    """Whatever was saved of a model: the adapter or the whole of it, and its value head."""
    return {
        name: tensor
        for path in sorted(trained.run.path.glob("*.safetensors"))
        if path.name != "reference.safetensors"
        for name, tensor in load_file(path).items()
    }


def told(trained: Trained, name: str) -> list[float]:
    """A number of every point."""
    return [point.metrics[name] for point in trained.all(Step)]


def predictions(trained: Trained) -> list[tuple[float, float]]:
    """The scores of both answers, as stage rm leaves them."""
    lines = (trained.run.path / "generated_predictions.jsonl").read_text().splitlines()
    return [(row["chosen"], row["rejected"]) for row in map(json.loads, lines)]
