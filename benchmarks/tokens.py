"""A million rows as tokens: what making them costs, finding them again, and what training on them holds.

    python -m benchmarks.tokens [--rows 1000000] [--model FOLDER]

Only the model's tokenizer is used; without --model the default one's. Budgets: issue 3, §1 and item 6.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from benchmarks.decode import default_model
from benchmarks.figures import Figure, report

MEMORY_BUDGET = 300.0
_TELECOM = Path(__file__).parent.parent / "data" / "telecom_train_5000.jsonl"

_MADE = """
import resource, sys, time
from pathlib import Path
from core.config.data import DataOptions
from core.engine.batches.cache import token_set
from core.engine.batches.order import Updates
from core.engine.batches.recipe import Recipe

def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1000

before, began = resident(), time.perf_counter()
folder = Path(sys.argv[1])
rows = token_set(Recipe(folder, ("rows.jsonl",), DataOptions(), Path(sys.argv[2])))
opened = time.perf_counter() - began
updates, held = Updates(rows.lengths, 8, 4), 0.0
began = time.process_time()
for number in range(updates.per_epoch if sys.argv[3] == "read" else 0):
    for batch in updates.update(number):
        rows.batch(batch)
    if number % 500 == 0:
        held = max(held, resident() - before)
children = resource.getrusage(resource.RUSAGE_CHILDREN)
own = resource.getrusage(resource.RUSAGE_SELF)
busy = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
print(opened, busy, held, time.process_time() - began, rows.report.tokens)
"""


def measure(model: Path, count: int) -> Iterator[Figure]:
    """The figures, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_rows(folder / "data" / "rows.jsonl", count)
        wall, busy, _held, _reading, tokens = _run(folder, model, "make")
        yield Figure(f"{count:,} rows to {tokens:,.0f} tokens, CPU of all processes", busy, "s")
        yield Figure("rows a CPU second", count / busy, "/s")
        yield Figure("the same, waiting", wall, "s")
        wall, _busy, held, reading, _tokens = _run(folder, model, "read")
        yield Figure("found again in the cache", wall, "s")
        yield Figure("an epoch of batches read in random order, CPU", reading, "s")
        yield Figure("memory that they hold meanwhile", held, "MB", MEMORY_BUDGET)


def _write_rows(path: Path, count: int) -> None:
    """Telecom questions over and over, each with a number of its own."""
    rows = [json.loads(line) for line in _TELECOM.read_text(encoding="utf-8").splitlines()]
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(islice(cycle(rows), count)):
            file.write(json.dumps({**row, "input": f"{row.get('input', '')} {number}"}, ensure_ascii=False) + "\n")


def _run(folder: Path, model: Path, what: str) -> list[float]:
    words = [sys.executable, "-c", _MADE, str(folder), str(model), what]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", type=Path)
    typed = parser.parse_args()
    report(measure(typed.model or default_model(), typed.rows))


if __name__ == "__main__":
    main()
