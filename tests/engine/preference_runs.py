"""A workspace with pairs of answers that a tiny model can learn to tell apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from core.workspace import Workspace
from tiny_models import make_model

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
