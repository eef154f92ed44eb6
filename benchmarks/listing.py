"""`models list`: twenty models, of three shards each, from headers alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, median, report
from core.models.catalog import list_models
from core.workspace import Workspace
from folders import make_model

MODELS = 20
BUDGET = 50.0
_RUNS = 15


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for number in range(MODELS):
            make_model(workspace.models / f"model-{number:02}", layers=30, shards=3)
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
