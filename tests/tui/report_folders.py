"""Reports for tests: a few rows of every kind, with numbers that were not computed but written down."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from core.metrics.metric import Artefact, ClassScore, Confusion, Scores, Value
from core.report.layout import PartFiles
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.store import write_report
from core.workspace import Workspace

SET = "phone_test"
QUESTIONS = ("怎么取消流量包？", "怎么开通副卡？", "How do I pay my bill?", "信号不好怎么办？", "漫游多少钱？", "谁？")
LABELS = ("取消方式_1", "开通方式_2", "open the app and pay there", "取消方式_1", "取消方式_1", "开通方式_2")
ANSWERS = ("取消方式_1", "开通费用_2", "open the site and pay there", "", "信号报障_3" * 9, "")


def rows() -> list[Prediction]:
    """Right, nearly right, nearly right in English, empty, cut at its length, failed."""
    made = []
    for number, (question, label, predict) in enumerate(zip(QUESTIONS, LABELS, ANSWERS, strict=True)):
        made.append(
            Prediction(
                prompt=f"<|im_start|>user\n请回答：{question}<|im_end|>\n<|im_start|>assistant\n",
                predict=predict,
                label=label,
                id=f"{SET}.jsonl:{number + 1}",
                row=number,
                finish_reason="length" if number == 4 else None if number == 5 else "stop",
                prompt_tokens=12,
                tokens=len(predict),
                error="out of memory" if number == 5 else "",
                thinking="先想一想。" if number == 1 else "",
            )
        )
    return made


def scores() -> Scores:
    exact: list[float | None] = [100.0, 0.0, 0.0, 0.0, 0.0, None]
    bleu: list[float | None] = [100.0, 40.0, 60.0, 0.0, 5.0, None]
    values = {
        "exact_match": Value(20.0, 5, 0.0, 60.0),
        "bleu-4": Value(41.0, 5, 10.0, 80.0),
        "distinct-1": Value(63.25, 5),
    }
    classes = (ClassScore("取消方式_1", 2, 1, 1, 100.0, 50.0, 66.7), ClassScore("信号报障_3", 1, 1, 0, 0.0, 0.0, 0.0))
    counts = {"取消方式_1": {"取消方式_1": 1, "信号报障_3": 1}, "信号报障_3": {"": 1}}
    artefacts = (Artefact("bleu-4", "2 labels are short"), Artefact("", "1 row has no answer"))
    return Scores(values, {"exact_match": exact, "bleu-4": bleu}, artefacts, Confusion(classes, counts))


def make_report(workspace: Workspace, name: str = "phone-eval") -> Path:
    """A finished report of the adapter `tuned` of the model `demo`, and the set that it was made with."""
    workspace.data.mkdir(exist_ok=True)
    lines = [
        json.dumps({"instruction": f"请回答：{question}", "output": label}, ensure_ascii=False) + "\n"
        for question, label in zip(QUESTIONS, LABELS, strict=True)
    ]
    (workspace.data / f"{SET}.jsonl").write_text("".join(lines))
    (workspace.data / "dataset_info.json").write_text(json.dumps({SET: {"file_name": f"{SET}.jsonl"}}))
    folder = workspace.runs / name
    subject = Subject("tuned", "demo", "tuned", str(workspace.models / "tuned"), "lora", dtype="float32")
    report = Report(
        subject,
        EvaluatedSet(SET, len(QUESTIONS), "ab" * 32, seen_in_training=2, training_sets=("phone_train",)),
        answered=5,
        failed=1,
        empty=1,
        truncated=1,
        config={"dataset": [SET], "dataset_dir": "data", "seed": 42, "max_new_tokens": 45},
        runtimes={"seconds": 2.5},
        notes=("1 near-tie",),
        time=1_700_000_000.0,
    )
    write_report(PartFiles(folder), report, rows(), scores())
    return folder


def many_rows(workspace: Workspace, count: int) -> Path:
    """A report of so many rows; every fourth is right, every fifth has a text of its own."""
    folder = workspace.runs / "many"
    base = rows()[1]
    made = [
        dataclasses.replace(
            base,
            id=f"many:{number}",
            row=number,
            label="对",
            predict="对" if number % 4 == 0 else "流量包" if number % 5 == 0 else "错",
        )
        for number in range(count)
    ]
    exact = [100.0 if row.predict == row.label else 0.0 for row in made]
    told = Scores({"exact_match": Value(25.0, count)}, {"exact_match": exact, "bleu-4": exact})
    report = Report(Subject("demo", "demo"), EvaluatedSet("many", count), answered=count)
    write_report(PartFiles(folder), report, made, told)
    return folder
