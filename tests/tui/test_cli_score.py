"""`finetui score`: any file of answers, the two figures of seed 002's script, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from commands import Run, runner
from core.metrics.metric import Measuring
from core.report.layout import PartFiles
from core.report.measured import measure
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.rows import open_report
from core.report.store import write_report
from hostile import SHORT, dangers

Score = Callable[..., Run]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Score:
    monkeypatch.chdir(tmp_path)
    return runner(capsys, "score")


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def telecom_rows() -> list[dict[str, str]]:
    """100 answers as seed 002 had them: 24 right; 23 labels longer than 10 characters, 5 of them right."""
    rows = []
    for number in range(100):
        long = number < 23
        label = f"业务简介_{number}|9.9|11.9" if long else f"取消方式_{number}"
        right = number < 5 if long else number < 23 + 19
        rows.append({"label": label, "predict": label if right else f"{label[:4]}_{number + 1}"})
    random.Random(8).shuffle(rows)
    return rows


def script_of_seed_002(path: Path) -> tuple[float, float]:
    """The two figures that `predict_acc_rate.py` prints, without its pandas."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    check = [int(row["label"] == row["predict"]) for row in rows]
    long = [right for row, right in zip(rows, check, strict=True) if len(row["label"]) > 10]
    return sum(check) / len(check), sum(long) / len(long)


def test_it_prints_the_two_figures_of_seed_002(tmp_path: Path, score: Score) -> None:
    write(tmp_path / "generated_predictions.jsonl", telecom_rows())
    accuracy, recall = script_of_seed_002(tmp_path / "generated_predictions.jsonl")
    assert (accuracy, round(recall, 4)) == (0.24, 0.2174)
    values = score("generated_predictions.jsonl", "--json").records[0]["values"]
    assert values["exact_match"]["value"] == 100 * accuracy
    assert values["long_exact_match"]["value"] == pytest.approx(100 * recall, rel=1e-15)
    assert values["long_exact_match"]["n"] == 23
    printed = score("generated_predictions.jsonl").out.splitlines()
    assert printed[0] == "generated_predictions.jsonl: 100 rows"
    assert printed[2].split()[:2] == ["exact_match", "24.00"]
    assert printed[3].split()[:2] == ["long_exact_match", "21.74"]


def test_the_table_its_artefacts_and_its_classes(tmp_path: Path, score: Score) -> None:
    rows = [
        {"label": label, "predict": said}
        for label, said in [("是", "是"), ("是", "否"), ("否", "否"), ("否", "不")] * 10
    ]
    write(tmp_path / "p.jsonl", rows)
    run = score("p.jsonl", "--metrics", "exact_match,label_accuracy,bleu-4", "--bootstrap", "500")
    assert run.code == 0
    lines = run.out.splitlines()
    assert lines[1].split() == ["METRIC", "VALUE", "95", "%", "INTERVAL", "MEDIAN", "ROWS"]
    name, value, low, dash, high, median, count = lines[2].split()
    assert (name, value, dash, median, count) == ("exact_match", "50.00", "–", "50.00", "40")
    assert float(low) < 50 < float(high)
    assert "! bleu-4: 40 of 40 labels are shorter than 4 characters: BLEU-4 of a right answer is then 35" in lines
    table = [line.split() for line in lines[lines.index("") + 1 :] if line.startswith(("是", "否"))]
    assert table == [
        ["否", "20", "20", "10", "50.00", "50.00", "50.00", "(no", "class)", "10"],
        ["是", "20", "10", "10", "100.00", "50.00", "66.67", "否", "10"],
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("old.jsonl", '{"labels": "a", "predict": "a"}\n{"labels": "b", "predict": "x"}\n'),
        ("old.txt", '{"labels": "a", "predict": "a"}\n{"labels": "b", "predict": "x"}\n'),
        ("array.json", '[{"label": "a", "predict": "a"}, {"label": "b", "predict": "x"}]'),
        ("table.csv", "prompt,label,predict\nq,a,a\nq,b,x\n"),
    ],
)
def test_files_of_all_kinds(tmp_path: Path, score: Score, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    record = score(name, "--metrics", "exact_match", "--json").records[0]
    assert (record["rows"], record["values"]["exact_match"]["value"]) == (2, 50)


def test_a_metric_of_the_users_own_and_numbers_of_each_row(tmp_path: Path, score: Score) -> None:
    write(tmp_path / "p.jsonl", [{"label": "abc", "predict": "ab"}, {"label": "x", "predict": "xyz"}])
    (tmp_path / "longer.py").write_text(
        "print('hello')\ndef metric(predict, label):\n    print(label)\n    return len(predict) - len(label)\n"
    )
    run = score("p.jsonl", "--metrics", "longer.py,exact_match", "--per_row", "rows.json", "--json")
    assert run.records[0]["values"]["longer"]["value"] == 0.5
    assert run.err.split()[-3:] == ["hello", "abc", "x"]
    assert json.loads((tmp_path / "rows.json").read_text()) == {"longer": [-1, 2], "exact_match": [0, 0]}
    (tmp_path / "longer.py").write_text("def metric(predict, label):\n    return label[1]\n")
    run = score("p.jsonl", "--metrics", "longer.py")
    assert run.code == 2
    assert "row 1: longer.py: metric() returned 'b'" in run.err
    assert "return a number, True, False or None" in run.err


def test_a_metric_that_counts_nowhere_is_said_to(tmp_path: Path, score: Score) -> None:
    write(tmp_path / "p.jsonl", [{"label": "abc", "predict": "ab"}])
    (record,) = score("p.jsonl", "--metrics", "long_exact_match,exact_match,loss", "--json").records
    assert list(record["values"]) == ["exact_match"]
    told = "not measured, because there is nothing here that counts for it: long_exact_match, loss"
    assert told in [artefact["message"] for artefact in record["artefacts"]]


def test_several_files_one_after_another(tmp_path: Path, score: Score) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jsonl", [{"label": name, "predict": "a"}])
    records = score("a.jsonl", "b.jsonl", "--json").records
    assert [record["values"]["exact_match"]["value"] for record in records] == [100, 0]
    assert "--per_row is one file, and 2 are scored" in score("a.jsonl", "b.jsonl", "--per_row", "x.json").err


def test_rows_without_an_answer_count_nowhere(tmp_path: Path, score: Score) -> None:
    rows = [Prediction("", "a", "a", row=0), Prediction("", "", "", row=1, error="the server closed")]
    report = Report(Subject("s", "m"), EvaluatedSet("set", 2))
    write_report(PartFiles(tmp_path / "run"), report, rows, measure(rows, (), Measuring(bootstrap=0)))
    record = score("run", "--json").records[0]
    assert (record["values"]["exact_match"]["value"], record["values"]["exact_match"]["n"]) == (100, 1)
    assert record["artefacts"][0]["message"] == "1 of 2 rows have no answer because of an error, and count nowhere"


def test_a_reports_numbers_are_replaced_when_asked(
    tmp_path: Path, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Prediction("", "取消方式_86", "取消方式_68"), Prediction("", "a", "a", row=1)]
    report = Report(Subject("s", "m"), EvaluatedSet("set", 2))
    write_report(PartFiles(tmp_path / "run"), report, rows, measure(rows, (), Measuring(bootstrap=0)))
    assert not open_report(tmp_path / "run").report.values
    assert score("run", "--metrics", "bleu-4").code == 0
    assert not open_report(tmp_path / "run").report.values
    run = score("run", "--metrics", "exact_match,bleu-4", "--write")
    assert run.err.splitlines()[-1].startswith("written: ")
    opened = open_report(tmp_path / "run")
    assert opened.report.values["exact_match"].value == 50
    assert opened.scores["bleu-4"][0] == pytest.approx(66.8740, abs=1e-4)
    write(tmp_path / "p.jsonl", [{"label": "a", "predict": "a"}])
    assert "has no finished report whose numbers could be replaced" in score("p.jsonl", "--write").err

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tui.cli.score.write_report", full)
    assert "error: cannot write run/report.json: No space left on device" in score("run", "--write").err


def test_the_list_of_metrics(score: Score) -> None:
    lines = score("--list").out.splitlines()
    assert lines[0].split() == ["NAME", "BETTER", "WHAT", "IT", "IS"]
    assert lines[1].startswith("exact_match ")
    record = next(record for record in score("--list", "--json").records if record["name"] == "loss")
    assert (record["unit"], record["better"]) == ("number", "lower")


def test_what_is_refused(tmp_path: Path, score: Score) -> None:
    write(tmp_path / "p.jsonl", [{"label": "a", "predict": "a"}])
    (tmp_path / "empty.jsonl").write_text("")
    for words, told in [
        ((), "which answers?"),
        (("gone.jsonl",), "gone.jsonl"),
        (("p.jsonl", "--metrics", "rogue-l"), "did you mean 'rouge-l'?"),
        (("p.jsonl", "--bootstrap", "-1"), "--bootstrap"),
        (("p.jsonl", "--reward_model", "x"), "--reward_model"),
        (("empty.jsonl",), "empty.jsonl has no answers"),
        (("p.jsonl", "--per_row", "no/such/folder.json"), "cannot write no/such/folder.json"),
    ]:
        run = score(*words)
        assert run.code == 2, words
        assert told in run.err, words


@pytest.mark.parametrize("text", SHORT.values(), ids=SHORT)
def test_hostile_answers_are_shown_and_never_obeyed(tmp_path: Path, score: Score, text: str) -> None:
    write(
        tmp_path / "p.jsonl",
        [{"label": text, "predict": "x"}, {"label": text, "predict": text}, {"label": "y", "predict": text}] * 2,
    )
    run = score("p.jsonl", "--metrics", "exact_match,label_accuracy,rouge-l", "--bootstrap", "0")
    assert run.code == 0
    assert not dangers(run.out)
    assert score("p.jsonl", "--metrics", "exact_match,label_accuracy", "--bootstrap", "0", "--json").records
