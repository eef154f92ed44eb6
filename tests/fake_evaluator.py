"""An evaluator in plain Python that starts in a tenth of a second: answers what it is asked, right now and then.

    fake_evaluator.py RUN_DIR [--resume]

What it does stands in the environment: FAKE_ROWS (of each part), FAKE_END (finish, fail, kill, wait). `COMMAND`, as
JSON in FINETUI_EVALUATOR_COMMAND, has it started instead of the engine. Who answers what stands in `launch.json`. Row N
of part P is right where N + P is even. All but `finish` end it in the middle; with --resume it goes on to the end.

A run outlives whoever started it, so a test that is killed cannot end it: what waits does so for FAKE_LIFE seconds at
most, and only as long as its run's folder is there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.metrics.metric import Artefact, Scores, Value
from core.report.files import append_prediction, in_data_order, read_journal
from core.report.layout import PartFiles, PlannedPart
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.store import write_parts, write_report

LIFE = 120.0
COMMAND = [sys.executable, "-S", __file__]


def main() -> None:
    run = Path(sys.argv[1])
    launch = json.loads((run / "launch.json").read_bytes())
    rows = int(os.environ.get("FAKE_ROWS", "4"))
    end = "finish" if "--resume" in sys.argv else os.environ.get("FAKE_END", "finish")
    pairs = [(subject, dataset) for subject in launch["subjects"] for dataset in launch["datasets"]]
    parts = [
        PlannedPart(f"{subject} · {dataset}", "." if len(pairs) == 1 else f"part-{number}", subject, dataset, rows)
        for number, (subject, dataset) in enumerate(pairs)
    ]
    write_parts(run, parts)
    diary = Diary(run, total=rows * len(parts))
    diary.tell("data_ready", rows=rows * len(parts), tokens=0, trained_tokens=0)
    facts = {"parameters": 135_000_000, "trainable": 0, "dtype": "float32", "device": "cpu", "choices": ["template x"]}
    diary.tell("model_ready", model=launch["model"], method=launch["method"], **facts)
    diary.tell("stage_changed", stage="answering")
    for number, part in enumerate(parts):
        answer_part(run, part, number, diary, end)
    diary.tell("run_finished", reason="completed", step=diary.done, metrics={})


class Diary:
    """Writes events, and counts."""

    def __init__(self, run: Path, total: int) -> None:
        self.events = (run / "events.jsonl").open("ab", buffering=0)
        self.total, self.done = total, 0

    def tell(self, kind: str, **fields: object) -> None:
        self.events.write(json.dumps({"type": kind, "time": time.time(), **fields}).encode() + b"\n")

    def answered(self, part: PlannedPart, part_done: int) -> None:
        speed = {"rows_per_second": 2.0, "tokens_per_second": 20.0, "tokens": 10 * self.done}
        times = {"elapsed": self.done / 2, "remaining": (self.total - self.done) / 2, "metrics": {"exact_match": 50.0}}
        counts = {"part_done": part_done, "part_total": part.rows, "done": self.done, "total": self.total}
        self.tell("answered", part=part.name, **counts, **speed, **times)


def answer_part(run: Path, part: PlannedPart, number: int, diary: Diary, end: str) -> None:
    """Answer what is not answered yet, and write the report."""
    files = PartFiles(run / part.folder)
    files.folder.mkdir(exist_ok=True)
    kept = read_journal(files.journal)
    for row in range(part.rows):
        if (row, 0) not in kept:
            append_prediction(files.journal, prediction(row, number))
        diary.done += 1
        diary.answered(part, row + 1)
        print("answered", part.name, row, flush=True)
        if row + 1 >= part.rows // 2:
            early_end(run, diary, end)
    write(files, part, list(read_journal(files.journal).values()), number)
    numbers = {"exact_match": 50.0, "bleu-4": 61.5}
    diary.tell("part_scored", part=part.name, folder=part.folder, rows=part.rows, seconds=1.5, metrics=numbers)


def early_end(run: Path, diary: Diary, end: str) -> None:
    """End, or wait to be ended, where that is asked for."""
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "fail":
        diary.tell("run_failed", error="the model is gone", hint="pull it again", log="no such file")
        sys.exit(1)
    last = time.monotonic() + float(os.environ.get("FAKE_LIFE", LIFE))
    while end == "wait":
        if (run / "control" / "stop").exists():
            (run / "control" / "stop").unlink()
            diary.tell("run_finished", reason="stopped", step=diary.done, metrics={})
            sys.exit(0)
        if time.monotonic() > last or not run.exists():
            sys.exit("nobody stopped this fake evaluator")
        time.sleep(0.02)


def prediction(row: int, number: int) -> Prediction:
    label = f"answer {row}"
    predict = label if (row + number) % 2 == 0 else "something else"
    return Prediction(f"question {row}", predict, label, f"test.jsonl:{row + 1}", row, finish_reason="stop", tokens=10)


def write(files: PartFiles, part: PlannedPart, predictions: list[Prediction], number: int) -> None:
    rows = in_data_order(predictions)
    exact = [100.0 * (row.predict == row.label) for row in rows]
    scores = Scores(
        values={
            "exact_match": Value(sum(exact) / len(exact), len(exact), 25.0, 75.0, 50.0),
            "bleu-4": Value(61.5 + number, len(exact), 51.5, 71.5, 60.0),
        },
        rows={"exact_match": exact, "bleu-4": [61.5 + number] * len(exact)},
        artefacts=(Artefact("bleu-4", "labels are short"),),
    )
    report = Report(
        subject=Subject(part.subject, "demo", dtype="float32", device="cpu"),
        data=EvaluatedSet(part.dataset, len(rows), seen_in_training=None),
        answered=len(rows),
        runtimes={"seconds": 1.5, "rows_per_second": 2.0},
        time=time.time(),
    )
    write_report(files, report, rows, scores)


if __name__ == "__main__":
    main()
