"""Plans of a workspace with few rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.config.load import load
from core.config.training import TRAINING
from core.engine.planning.draft import Draft, draft
from core.workspace import Workspace

GIB = 1 << 30


def few_rows(root: Path) -> Workspace:
    data = root / "data"
    data.mkdir()
    write_rows(data / "few.jsonl", 24)
    write_rows(data / "test.jsonl", 5, first=100)
    return Workspace(root)


def write_rows(path: Path, count: int, first: int = 0) -> None:
    rows = [{"instruction": f"What is {first + n}?" + " Say." * (n % 3), "output": f"It is {n}."} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def drafts_of(workspace: Workspace, model: Path) -> Callable[..., Draft]:
    """`planned(lora_rank=4)`: the plan under some options."""

    def make(**options: Any) -> Draft:
        values = {"model_name_or_path": str(model), "dataset": "few.jsonl", **options}
        return draft(load(TRAINING, values=values), workspace, lambda planning: None)

    return make
