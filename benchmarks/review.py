"""Twenty thousand answers: opened, filtered, sorted, grouped and written; three hundred reports listed."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, median, report
from core.metrics.metric import Scores, Value
from core.report.catalog import list_reports
from core.report.export import export_rows
from core.report.filters import filter_rows
from core.report.groups import grouped_by_kind, grouped_by_label
from core.report.html import report_page
from core.report.layout import PartFiles, PlannedPart
from core.report.order import ordered
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.rows import open_report
from core.report.store import write_parts, write_report
from core.runs.launch_file import Launch, write_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace

ROWS, REPORTS, METRICS = 20_000, 300, 16
OPEN_BUDGET, FILTER_BUDGET = 0.5, 0.1
_TELECOM = Path(__file__).parent.parent / "data" / "telecom_test_100.jsonl"
_RUNS = 5
_FILTERS = ("wrong", "text:流量包", "bleu-4<20 len>5 text:流量包", "-kind=class", "reviewed", 'label="取消方式_68"')


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name))
        folder = workspace.root / "large"
        _write(folder, ROWS)
        yield Figure(f"{ROWS:,} rows, {METRICS} metrics: open", _cpu(lambda: open_report(folder)), "s", OPEN_BUDGET)
        opened = open_report(folder)
        for text in _FILTERS:
            chosen = partial(filter_rows, opened, text)
            yield Figure(f"filter `{text}`, first time", _once(chosen), "s", FILTER_BUDGET)
            yield Figure(f"filter `{text}`", _cpu(chosen), "s", FILTER_BUDGET)
        rows = range(len(opened))
        yield Figure("worst first", _cpu(lambda: ordered(opened, rows)), "s", FILTER_BUDGET)
        yield Figure("groups by kind of error", _cpu(lambda: grouped_by_kind(opened)), "s")
        yield Figure("groups by reference", _cpu(lambda: grouped_by_label(opened)), "s")
        yield Figure("all rows as CSV", _cpu(lambda: export_rows(opened, rows, "csv")), "s")
        yield Figure("the HTML page", _cpu(lambda: report_page(opened, workspace)), "s")
        for number in range(REPORTS):
            _evaluation(workspace, f"eval-{number:03}")
        yield Figure(f"list {REPORTS} reports, first time", _once(lambda: list_reports(workspace)), "s")
        yield Figure(f"list {REPORTS} reports again", _cpu(lambda: list_reports(workspace)), "s")


def _evaluation(workspace: Workspace, name: str) -> None:
    folder = workspace.runs / name
    _write(folder, 1)
    write_parts(folder, [PlannedPart(f"{name} · telecom", ".", name, "telecom", 1)])
    write_launch(RunDirectory(folder), Launch(kind="evaluation", model="demo"))


def _write(folder: Path, count: int) -> None:
    """A report of telecom questions, half of them answered with the label of another one."""
    draw = random.Random(1)
    data = [json.loads(line) for line in _TELECOM.read_text().splitlines()]
    rows = []
    for at in range(count):
        asked = data[at % len(data)]
        prompt = f"<|im_start|>user\n{asked['instruction']}<|im_end|>\n<|im_start|>assistant\n"
        answer = asked["output"] if draw.random() < 0.5 else draw.choice(data)["output"]
        rows.append(Prediction(prompt, answer, asked["output"], f"telecom.jsonl:{at + 1}", at, finish_reason="stop"))
    columns = {f"metric-{number}": [100 * draw.random() for _row in rows] for number in range(METRICS - 2)}
    exact = [100.0 * (row.predict == row.label) for row in rows]
    columns = {"exact_match": exact, "bleu-4": [max(score, 30 * draw.random()) for score in exact], **columns}
    scores = Scores({name: Value(50.0, count, 48.0, 52.0) for name in columns}, columns)
    write_report(PartFiles(folder), Report(Subject("lora", "demo"), EvaluatedSet("telecom", count)), rows, scores)


def _cpu(work: Callable[[], object]) -> float:
    return median(_once(work) for _run in range(_RUNS))


def _once(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    report(measure())
