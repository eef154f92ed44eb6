"""Predictions, journals and reports as files: what is read, what is refused, and that nothing is half."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from core.errors import ReportError
from core.metrics.metric import Artefact, ClassScore, Confusion, Scores, Value
from core.report.files import (
    JournalFollower,
    append_prediction,
    read_journal,
    read_predictions,
    read_predictions_file,
    write_predictions,
)
from core.report.layout import PartFiles, PlannedPart
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.store import read_parts, read_report, read_scores, write_parts, write_report
from hostile import CORPUS

FULL = Prediction(
    "<user>问</user>",
    "答\n二",
    "答",
    id="set.jsonl:3",
    row=2,
    repeat=1,
    finish_reason="length",
    prompt_tokens=9,
    tokens=4,
    dropped_turns=2,
    thinking="hm",
    loss=0.5,
    label_tokens=3,
    reward=-1.25,
    choice={"A": 0.75, "B": 0.25},
)
FAILED = Prediction("q", "", "a", id="set.jsonl:4", row=3, error="out of memory")


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_rows_come_back_as_they_were_and_begin_with_the_keys_of_llama_factory(tmp_path: Path) -> None:
    path = tmp_path / "generated_predictions.jsonl"
    write_predictions(path, [FULL, FAILED])
    assert read_predictions(path) == [FULL, FAILED]
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(record)[:3] for record in records] == [["prompt", "predict", "label"]] * 2
    assert "finish_reason" not in records[1]


@pytest.mark.parametrize("name", list(CORPUS))
def test_any_text_survives_the_way_through_a_file(name: str, tmp_path: Path) -> None:
    row = Prediction(CORPUS[name], CORPUS[name][::-1], CORPUS[name], id="x")
    write_predictions(tmp_path / "p.jsonl", [row])
    append_prediction(tmp_path / "j.jsonl", row)
    assert read_predictions(tmp_path / "p.jsonl") == [row] == list(read_journal(tmp_path / "j.jsonl").values())


def test_files_of_others(tmp_path: Path) -> None:
    wanted = [Prediction("", "one", "two", row=0), Prediction("", "", "3", row=1)]
    old = lines(
        tmp_path / "generated_predictions.txt", {"labels": "two", "predict": "one"}, {"labels": 3, "predict": None}
    )
    assert read_predictions(old) == wanted
    array = tmp_path / "rows.json"
    array.write_text(json.dumps([{"label": "two", "predict": "one"}, {"label": "3", "predict": ""}]))
    assert read_predictions(array) == wanted
    sheet = tmp_path / "rows.csv"
    sheet.write_text('\ufefflabel,predict\ntwo,one\n3,""\n')
    assert read_predictions(sheet) == wanted
    gbk = tmp_path / "gbk.jsonl"
    gbk.write_bytes('{"label": "流量查询", "predict": "好"}\n'.encode("gb18030"))
    assert [(row.label, row.predict) for row in read_predictions(gbk)] == [("流量查询", "好")]


def test_keys_of_others_that_mean_something_else_are_left_out_and_said(tmp_path: Path) -> None:
    row = {"label": "a", "predict": "b", "finish_reason": "eos", "tokens": 4, "row": "x7", "model": {"name": "gpt"}}
    read = read_predictions_file(lines(tmp_path / "p.jsonl", row, {"label": "c", "predict": "d"}))
    assert read.predictions == [Prediction("", "b", "a", tokens=4), Prediction("", "d", "c", row=1)]
    assert sorted(read.ignored) == ["finish_reason", "row"]


def test_half_a_line_at_the_end_is_left_out_and_said(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"label": "a", "predict": "b"})
    with path.open("a") as file:
        file.write('{"label": "c", "pre')
    read = read_predictions_file(path)
    assert [row.label for row in read.predictions] == ["a"]
    assert read.torn
    whole = tmp_path / "whole.jsonl"
    whole.write_text('{"label": "a", "predict": "b"}')
    assert not read_predictions_file(whole).torn


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"label": "a", "predict": "b"}\n\n{"label": \n{}\n', ":3: broken JSON"),
        ('{"label": "a", "predict": "b"}\n["x"]\n', ":2: a row is an object"),
        ('{"label": "a"}\n', ":1: there is no predict"),
        ('{"label": "a", "predict": ["b"]}\n', ":1: predict is no text"),
        ('{"label": "a", "predict": "b", "row": 3, "tokens": "many"}\n', ":1: tokens: expected a whole number"),
        ('[{"label": "a"\n "predict": "b"}]', ":2: broken JSON"),
        ("[" * 100_000, ":1: broken JSON"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(ReportError) as caught:
        read_predictions(path)
    assert f"p.jsonl{told}" in caught.value.message
    assert caught.value.hint


def test_the_journal_keeps_the_last_answer_of_each_row_whatever_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    append_prediction(path, FAILED, FULL)
    with path.open("ab") as file:
        file.write(b'{"prompt":"q","predict":"ha')
    assert list(read_journal(path)) == [(2, 1), (3, 0)]
    again = Prediction("q", "now", "a", id="set.jsonl:4", row=3)
    append_prediction(path, again)
    assert read_journal(path) == {(2, 1): FULL, (3, 0): again}


def test_a_journal_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    follower = JournalFollower(path)
    assert follower.poll() == []
    append_prediction(path, FULL)
    assert follower.poll() == [FULL]
    with path.open("ab") as file:
        file.write(b'{"prompt":"q","predict":"","label":"a","id":"set.jsonl:4",')
    assert follower.poll() == []
    with path.open("ab") as file:
        file.write(b'"error":"out of memory","row":3}\n')
    assert follower.poll() == [FAILED]
    path.unlink()
    append_prediction(path, FULL)
    assert follower.poll() == [FULL]


# --- reports ------------------------------------------------------------------------------------------------------

SCORES = Scores(
    values={"exact_match": Value(50.0, 2, 0.0, 100.0, 50.0), "perplexity": Value(math.inf, 2)},
    rows={"exact_match": [100.0, 0.0], "bleu-4": [math.nan, None]},
    artefacts=(Artefact("bleu-4", "few rows"),),
    confusion=Confusion((ClassScore("是", 1, 2, 1, 50.0, 100.0, 66.7),), {"是": {"": 1}}),
    compatible={"predict_bleu-4": 12.5},
)
REPORT = Report(
    Subject("lora", "demo", "lora"),
    EvaluatedSet("exam", 2, "ab", seen_in_training=1),
    config={"dataset": ["exam"], "bootstrap": 0, "default_system": None},
    runtimes={"seconds": 2.0, "rows_per_second": 1.0, "loading": 0.123456},
)


def test_a_report_comes_back_with_its_numbers(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    append_prediction(files.journal, FULL)
    written = write_report(files, REPORT, [FULL, FAILED], SCORES)
    assert read_report(tmp_path) == written
    assert list(written.values) == ["exact_match"]
    assert written.notes == ("perplexity is no finite number",)
    assert written.confusion == SCORES.confusion
    assert read_scores(tmp_path, 2) == {"exact_match": [100.0, 0.0], "bleu-4": [None, None]}
    assert read_scores(tmp_path, 3) == {}
    assert not files.journal.exists()


def test_the_journal_of_a_report_that_is_not_finished_stays(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    append_prediction(files.journal, FULL)
    write_report(files, Report(REPORT.subject, REPORT.data, complete=False), [FULL], SCORES)
    assert files.journal.exists()


def test_what_ends_in_the_middle_leaves_the_journal_and_no_report(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    append_prediction(files.journal, FULL)
    files.scores.mkdir()  # nothing can be put in its place
    with pytest.raises(OSError, match=r"scores\.json"):
        write_report(files, REPORT, [FULL], SCORES)
    assert read_predictions(files.predictions) == [FULL]
    assert list(read_journal(files.journal).values()) == [FULL]
    assert not files.report.exists()
    assert not list(tmp_path.glob(".*"))


def test_llama_factorys_result_files_and_what_a_training_left_in_them(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    own, every = files.results
    every.write_text('{"train_loss": 1.5, "predict_bleu-4": 1}')
    write_report(files, REPORT, [FULL], SCORES)
    results = {
        "predict_bleu-4": 12.5,
        "predict_model_preparation_time": 0.1235,
        "predict_runtime": 2.0,
        "predict_samples_per_second": 1.0,
        "predict_steps_per_second": 1.0,
    }
    assert json.loads(own.read_text()) == results
    assert json.loads(every.read_text()) == {"train_loss": 1.5, **results}


def test_a_report_of_a_newer_finetui_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema": 9}')
    with pytest.raises(ReportError, match=r"report\.json has schema 9; this finetui reads up to 1"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text('{"subject": 3}')
    with pytest.raises(ReportError, match=r"missing|expected"):
        read_report(tmp_path)


def test_parts_are_known_from_the_start(tmp_path: Path) -> None:
    parts = [PlannedPart("base · exam", "base", "base", "exam", 7), PlannedPart("lora · exam", "lora", "lora", "exam")]
    assert read_parts(tmp_path) == ()
    write_parts(tmp_path, parts)
    assert read_parts(tmp_path) == tuple(parts)
    (tmp_path / "parts.json").write_text('{"parts": [3]}')
    assert read_parts(tmp_path) == ()
