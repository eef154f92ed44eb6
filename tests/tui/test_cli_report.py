"""`finetui report`: the table, one report, its rows, and every form that it is written in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Run, runner
from core.report.files import append_prediction, write_predictions
from core.report.layout import PartFiles, PlannedPart
from core.report.report import Subject
from core.runs.events import RunFinished
from hostile import SHORT, dangers
from scripted_reports import ScriptedEvaluation, predictions, write_part
from scripted_runs import BEGAN

Report = Callable[..., Run]

LABELS = ["开通方式_1", "取消方式_2", "资费_3", "说明_4"]
TUNED = ["开通方式_1", "取消方式_2", "资费_3", "说明_9"]
BASE = ["", "我不知道", "资费_3", "=1+1"]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    folder = tmp_path / "runs" / "both"
    parts = [PlannedPart(f"{name} · exam", name, name, "exam", 4) for name in ("base", "lora")]
    run = ScriptedEvaluation(folder, parts, launched=BEGAN)
    for name, answers in (("base", BASE), ("lora", TUNED)):
        subject = Subject(name, "demo", f"/ws/runs/{name}" if name == "lora" else "", dtype="float32")
        write_part(folder / name, predictions(LABELS, answers), subject=subject, time=BEGAN + 1)
    run.tell(RunFinished(BEGAN + 2, "completed", 8))
    return runner(capsys, "report")


def test_without_a_run_all_reports_are_listed(report: Report) -> None:
    lines = [line.split() for line in report().out.splitlines()]
    assert lines[0] == ["REPORT", "MODEL", "ADAPTER", "SET", "STATE", "ROWS", "EXACT", "MATCH"]
    assert lines[1] == ["both/base", "demo", "exam", "finished", "4", "25.00"]
    assert lines[2] == ["both/lora", "demo", "lora", "exam", "finished", "4", "75.00"]


def test_the_table_is_sorted_filtered_and_has_the_columns_asked_for(report: Report) -> None:
    names = [record["report"] for record in report("--json", "--sort", "exact_match").records]
    assert names == ["both/lora", "both/base"]
    assert [record["report"] for record in report("--json", "--sort", "+exact_match").records] == names[::-1]
    assert [record["report"] for record in report("--json", "--filter", "LORA exam").records] == ["both/lora"]
    assert [record["report"] for record in report("--json", "--rows", "1").records] == ["both/lora"]
    assert "EDIT SIM." in report("--metrics", "edit_similarity").out
    wrong = report("--sort", "exact")
    assert wrong.code == 2
    assert "no report has 'exact'" in wrong.err


def test_no_reports_say_how_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    assert runner(capsys, "report")().out == "no reports; make one with: finetui eval\n"


def test_a_report_tells_its_numbers_its_errors_and_its_worst_rows(report: Report) -> None:
    run = report("both/base", "--rows", "2")
    assert run.code == 0
    lines = run.out.splitlines()
    assert lines[0] == "base · exam  (runs/both/base/generated_predictions.jsonl)"
    assert lines[1] == "4 answers · demo · float32 · data abababababab"
    assert any(line.split()[:2] == ["exact_match", "25.00"] for line in lines)
    assert [line.split()[-1] for line in lines if "kind=" in line] == ["kind=right", "kind=empty", "kind=wrong"]
    rows = lines[lines.index("#1 · empty · edit sim. 0.00") :]
    assert rows[:4] == [
        "#1 · empty · edit sim. 0.00",
        "  question   question 0",
        "  reference  开通方式_1",
        "  answer",
    ]
    assert sum(line.startswith("#") for line in rows) == 2


def test_a_report_of_one_metric_stays_one(report: Report, tmp_path: Path) -> None:
    rows = predictions(LABELS, TUNED)
    write_part(tmp_path / "runs" / "one", rows, subject=Subject("one", "demo"), metrics=("bleu-4",))
    (record,) = report("one", "--json").records
    assert list(record["metrics"]) == ["bleu-4"]


def test_rows_are_filtered_and_sorted(report: Report) -> None:
    (record,) = report("both/base", "--json", "--filter", "wrong -empty", "--sort", "-row").records
    assert [row["row"] for row in record["rows"]] == [3, 1]
    assert record["errors"] == {"right": 1, "empty": 1, "wrong": 2}
    assert record["metrics"]["exact_match"]["value"] == 25.0
    mistake = report("both/base", "--filter", "wrnog")
    assert mistake.code == 2
    assert "filter, character 1: 'wrnog' means nothing" in mistake.err
    assert "did you mean 'wrong'?" in mistake.err


def test_a_run_of_several_parts_shows_each_and_fills_no_single_file(report: Report, tmp_path: Path) -> None:
    assert [record["subject"]["name"] for record in report("both", "--json").records] == ["base", "lora"]
    refused = report("both", "--format", "csv", "--output", "x.csv")
    assert refused.code == 2
    assert "name one of them: both/base, both/lora" in refused.err
    assert not (tmp_path / "x.csv").exists()


def test_rows_as_csv_go_to_a_pipe_or_into_a_file(report: Report, tmp_path: Path) -> None:
    text = report("both/base", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert len(rows) == 4
    assert "'=1+1" in [row["predict"] for row in rows]
    written = report("both/base", "--format", "csv", "--output", "x.csv")
    assert (written.out, written.err) == ("", "written: x.csv\n")
    assert (tmp_path / "x.csv").read_bytes().decode() == text
    refused = report("both/base", "--format", "csv", "--output", "no/such/x.csv")
    assert refused.code == 2
    assert "no/such/x.csv cannot be written" in refused.err


def test_every_other_form(report: Report, tmp_path: Path) -> None:
    lines = report("both/lora", "--format", "jsonl", "--filter", "wrong").out.splitlines()
    assert [json.loads(line)["predict"] for line in lines] == ["说明_9"]
    assert "| exact match | 75.00 |" in report("both/lora", "--format", "md").out
    (record,) = report("both/lora", "--format", "json", "--rows", "0").records
    assert record["rows"] == []
    path = report("both/lora", "--format", "html").out.strip()
    assert path == str(tmp_path / "runs" / "both" / "lora" / "report.html")
    assert "说明_" in Path(path).read_text()
    chosen = report("both/lora", "--format", "html", "--filter", "right", "--output", "right.html")
    assert chosen.out == "right.html\n"
    assert "3 rows" in Path("right.html").read_text()
    table = report("--format", "md").out.splitlines()
    assert table[0] == "| report | model | adapter | set | n | exact match |"
    page = report("--format", "html")
    assert page.code == 2
    assert "finetui report RUN --format html" in page.err


def test_a_predictions_file_alone_is_measured_and_any_report_anew(report: Report, tmp_path: Path) -> None:
    write_predictions(tmp_path / "mine.jsonl", predictions(["a", "b"], ["a", "c"]))
    (record,) = report("mine.jsonl", "--json", "--metrics", "exact_match,edit_similarity").records
    assert {name: value["value"] for name, value in record["metrics"].items()} == {
        "exact_match": 50.0,
        "edit_similarity": 50.0,
    }
    (again,) = report("both/lora", "--json", "--metrics", "length_ratio").records
    assert list(again["metrics"]) == ["length_ratio"]


def test_an_evaluation_that_goes_on_shows_its_answers_so_far(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "going"
    ScriptedEvaluation(folder, [PlannedPart("lora · exam", ".", "lora", "exam", 4)], launched=BEGAN + 9)
    append_prediction(PartFiles(folder).journal, *predictions(LABELS, TUNED)[2:])
    out = report("going").out
    assert "2 answers · of 4" in out
    assert "! the evaluation is not finished: these are the answers so far" in out
    assert "exact_match     50.00" in out
    assert report("last", "--json").records[0]["complete"] is False


def test_no_such_report_names_the_nearest(report: Report) -> None:
    wrong = report("both/lara")
    assert wrong.code == 2
    assert "no report both/lara" in wrong.err
    assert "did you mean 'both/lora'?" in wrong.err


def test_nothing_that_a_model_wrote_reaches_the_terminal(report: Report, tmp_path: Path) -> None:
    texts = list(SHORT.values())
    write_part(tmp_path / "runs" / "evil", predictions(texts, texts[::-1]), subject=Subject(texts[0], texts[1]))
    for form in ("text", "json"):
        run = report("evil", "--format", form, "--rows", "100")
        assert run.code == 0
        assert not dangers(run.out + run.err)


def test_a_comparison_is_written_as_its_ending_says(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = runner(capsys, "compare")
    run = compare("both/base", "both/lora", "--output", "c.html", "--bootstrap", "50")
    assert run.code == 0
    assert "written: c.html" in run.err
    assert "lora: improved" in (tmp_path / "c.html").read_text()
    compare("both/base", "both/lora", "--output", "c.csv", "--rows", "improved", "--bootstrap", "0")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text().removeprefix("\ufeff"))))
    assert [row["lora"] for row in rows] == ["开通方式_1", "取消方式_2"]
    refused = compare("both/base", "both/lora", "--output", "c.pdf")
    assert refused.code == 2
    assert "the endings are .html, .md, .csv, .jsonl" in refused.err
