"""A million rows: how long until they are open, one of them shown, all of them checked, and what that holds."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, report

ROWS = 1_000_000
OPEN_BUDGET = 1.0
MEMORY_BUDGET = 300.0

_OPEN = (
    "from core.data.rows import open_file; rows = open_file(Path(sys.argv[1])); assert len(rows) == int(sys.argv[2])"
)
_READ = _OPEN + "; [rows[random.randrange(len(rows))] for _ in range(10_000)]"
_CHECK = """
from core.data.checks import check
from core.workspace import Workspace
assert check([sys.argv[1]], None, Workspace(Path(sys.argv[1]).parent)).rows == int(sys.argv[2])
"""
_EXAMPLES = """
from core.data.examples import open_examples
from core.workspace import Workspace
examples = open_examples([sys.argv[1]], None, Workspace(Path(sys.argv[1]).parent))
for number in range(len(examples)): examples[number]
"""
_MEASURED = """
import random, resource, sys, time
from pathlib import Path
began, busy = time.perf_counter(), time.process_time()
{code}
wall, busy = time.perf_counter() - began, time.process_time() - busy
mapped = int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0])
print(wall, busy, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - mapped) / 1000)
"""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        files = {"jsonl": _json_lines(folder / "data/rows.jsonl")}
        files["json array"], files["csv"] = _array(folder / "data/rows.json"), _csv(folder / "data/rows.csv")
        for kind, path in files.items():
            _wall, busy, held = _run(_OPEN, path, folder)
            yield Figure(f"{kind}: first opening, the index is made, CPU", busy, "s")
            yield Figure(f"{kind}: first opening, peak memory with the mapped file", held, "MB")
        for kind, path in files.items():
            wall, _busy, _held = _run(_OPEN, path, folder)
            yield Figure(f"{kind}: opening", wall, "s", OPEN_BUDGET)
        show, found = ("show", "rows.jsonl"), ("show", "rows.jsonl", "--search", f"{ROWS - 1}元")
        yield Figure("finetui data show, the whole command, CPU", _command(folder, *show), "s", OPEN_BUDGET)
        yield Figure("finetui data list, three such files, CPU", _command(folder, "list"), "s", OPEN_BUDGET)
        yield Figure("finetui data show --search, found in the last row, CPU", _command(folder, *found), "s")
        _wall, busy, held = _run(_READ, files["jsonl"], folder)
        yield Figure("10,000 rows at random, CPU", busy, "s")
        yield Figure("10,000 rows at random, own memory", held, "MB", MEMORY_BUDGET)
        _wall, busy, held = _run(_EXAMPLES, files["jsonl"], folder)
        yield Figure("all rows as examples, CPU", busy, "s")
        yield Figure("all rows as examples, own memory", held, "MB", MEMORY_BUDGET)
        _wall, busy, held = _run(_CHECK, files["jsonl"], folder)
        yield Figure("all rows checked, CPU", busy, "s")
        yield Figure("all rows checked, own memory", held, "MB", MEMORY_BUDGET)


def _rows() -> Iterator[dict[str, str]]:
    draw = random.Random(0)
    for number in range(ROWS):
        question = f"中国电信手机用户的问题,{number}元百度专属定向包如何取消,应该怎么办？" + "请说明" * draw.randrange(
            12
        )
        yield {"instruction": question, "input": "", "output": f"取消方式_{number % 40}"}


def _json_lines(path: Path) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows())
    return path


def _array(path: Path) -> Path:
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n"
        for row in _rows():
            file.write(separator + json.dumps(row, ensure_ascii=False, indent=2))
            separator = ",\n"
        file.write("\n]\n")
    return path


def _csv(path: Path) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.write("instruction,input,output\n")
        file.writelines(f'"{row["instruction"]}",{row["input"]},{row["output"]}\n' for row in _rows())
    return path


def _run(code: str, path: Path, folder: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds, and the most memory in megabytes without the mapped file's, in a process of its own."""
    words = [sys.executable, "-c", _MEASURED.format(code=code), str(path), str(ROWS)]
    run = subprocess.run(words, env=_environment(folder), capture_output=True, text=True, check=True)
    wall, busy, held = map(float, run.stdout.split())
    return wall, busy, held


def _command(folder: Path, *words: str) -> float:
    """CPU seconds of a whole command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tui", "data", *words]
    subprocess.run(command, env=_environment(folder), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "FINETUI_WORKSPACE": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}


if __name__ == "__main__":
    report(measure())
