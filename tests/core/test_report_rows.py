"""Reports opened with their rows, listed, found by name, and reviewed."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ReportError
from core.metrics.catalog import find_metrics
from core.metrics.metric import Scores
from core.report.catalog import find_reports, list_reports
from core.report.files import append_prediction, write_predictions
from core.report.layout import PartFiles, PlannedPart
from core.report.prediction import Prediction
from core.report.report import Subject
from core.report.review import ReviewBook
from core.report.rows import open_report, refreshed, scored
from core.report.store import write_parts, write_report
from core.runs.catalog import enter_run
from core.runs.events import RunFinished
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from scripted_reports import QUICK, ScriptedEvaluation, predictions, write_part
from scripted_runs import BEGAN, ScriptedRun

ROWS = predictions(["yes", "no", "maybe"], ["yes", "yes", ""])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return Workspace(tmp_path)


def test_a_finished_part_opens_with_its_scores(tmp_path: Path) -> None:
    report = write_part(tmp_path, ROWS)
    opened = open_report(tmp_path)
    assert opened.report == report
    assert opened.predictions == ROWS
    assert opened.values("exact_match") == [100.0, 0.0, 0.0]
    assert opened.values("len") == [3, 3, 0]
    assert opened.values("row") == [1, 2, 3]
    assert opened.texts("finish") == ["stop"] * 3
    assert opened.name == "demo · exam"
    assert not opened.live
    assert open_report(PartFiles(tmp_path).predictions).report == report


def test_scores_of_other_rows_are_not_shown_beside_these(tmp_path: Path) -> None:
    write_part(tmp_path, ROWS)
    write_predictions(PartFiles(tmp_path).predictions, ROWS[:2])
    opened = open_report(tmp_path)
    assert opened.scores == {"exact_match": [100.0, 0.0]}
    assert "scores.json does not belong to these rows" in opened.notes[0]


def test_a_file_alone_is_counted_at_once_and_measured_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    write_predictions(path, [*ROWS, replace(ROWS[0], row=3, error="lost", predict="")])
    opened = open_report(path)
    assert opened.report.values["exact_match"].value == pytest.approx(100 / 3)
    assert (opened.report.answered, opened.report.failed, opened.report.empty) == (3, 1, 1)
    assert opened.scores == {"exact_match": [100.0, 0.0, 0.0, None]}
    measured = scored(opened, find_metrics(["edit_similarity"]), QUICK)
    assert list(measured.scores) == ["exact_match", "edit_similarity"]
    assert measured.report.values["edit_similarity"].n == 3
    opened.review.put(opened.predictions[0], verdict="good")
    assert (tmp_path / "mine.review.jsonl").is_file()


def test_what_was_left_out_of_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"label": "a", "predict": "a", "finish_reason": "eos"}\n{"label": ')
    assert open_report(path).notes == (
        "the last line is torn and was left out",
        "left out, because they mean something else here: finish_reason",
    )


def test_new_numbers_are_measured_as_the_evaluation_was_told(tmp_path: Path) -> None:
    rows = predictions(["a;b", "c"], ["a;x", "c"])
    report = write_part(tmp_path, rows)
    files = PartFiles(tmp_path)
    told = replace(report, config={"list_separator": ";", "bootstrap": 0, "long_label": "wrong"})
    write_report(files, told, rows, Scores({}, {}))
    measured = scored(open_report(tmp_path), find_metrics(["list_recall"]))
    assert measured.values("list_recall") == [50.0, 100.0]
    assert measured.report.values["list_recall"].low is None


def test_rows_of_an_evaluation_come_in_while_it_runs(workspace: Workspace) -> None:
    folder = workspace.runs / "eval"
    part = PlannedPart("lora · exam", ".", "lora", "exam", 3)
    ScriptedEvaluation(folder, [part])
    append_prediction(PartFiles(folder).journal, ROWS[2], ROWS[0])
    opened = open_report(folder)
    assert opened.live
    assert (opened.name, opened.report.data.rows, len(opened)) == ("lora · exam", 3, 2)
    assert [row.row for row in opened.predictions] == [0, 2]
    assert refreshed(opened) is opened
    append_prediction(PartFiles(folder).journal, ROWS[1])
    more = refreshed(opened)
    assert more.predictions == ROWS
    assert more.values("exact_match") == [100.0, 0.0, 0.0]
    write_part(folder, ROWS)
    done = refreshed(more)
    assert not done.live
    assert done.report.values["exact_match"].n == 3


def test_a_stopped_evaluation_that_goes_on_is_live_again(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    append_prediction(files.journal, *ROWS[:2])
    write_part(tmp_path, ROWS[:2], complete=False)
    os.utime(files.journal, (1, 1))
    assert not open_report(tmp_path).live
    append_prediction(files.journal, ROWS[2])
    os.utime(files.journal, (2e9, 2e9))
    assert open_report(tmp_path).live
    assert len(open_report(tmp_path)) == 3


def test_rows_that_are_asked_again_stand_among_those_that_were_answered_before(tmp_path: Path) -> None:
    failed = replace(ROWS[1], predict="", error="out of memory")
    write_part(tmp_path, [ROWS[0], failed, ROWS[2]])
    os.utime(tmp_path / "report.json", (1, 1))
    append_prediction(PartFiles(tmp_path).journal, ROWS[1])
    opened = open_report(tmp_path)
    assert opened.live
    assert opened.predictions == ROWS


def test_nothing_to_open_says_what_to_look_for(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="holds no answers") as caught:
        open_report(tmp_path)
    assert "generated_predictions.jsonl" in caught.value.hint
    write_parts(tmp_path, [PlannedPart("a", "a", "a", "x"), PlannedPart("b", "b", "b", "x")])
    with pytest.raises(ReportError, match="several parts") as caught:
        open_report(tmp_path)
    assert caught.value.hint == "name one of: a, b"


# --- the list -----------------------------------------------------------------------------------------------------


def filled(workspace: Workspace) -> None:
    """A training, a finished evaluation of two parts, a running one, and a folder of LLaMA-Factory's."""
    ScriptedRun(workspace.runs / "lora", launched=BEGAN)
    parts = [
        PlannedPart("base · exam", "base", "base", "exam", 3),
        PlannedPart("lora · exam", "lora", "lora", "exam", 3),
    ]
    ended = ScriptedEvaluation(workspace.runs / "both", parts, launched=BEGAN + 1)
    for part in parts:
        write_part(workspace.runs / "both" / part.folder, ROWS, subject=Subject(part.subject, "demo"), time=BEGAN + 2)
    ended.tell(RunFinished(BEGAN + 3, "completed", 6))
    going = ScriptedEvaluation(
        workspace.runs / "going", [PlannedPart("x · exam", ".", "x", "exam", 5)], launched=BEGAN + 10
    )
    going.tell(RunFinished(BEGAN + 11, "stopped", 1))
    foreign = workspace.runs / "old" / "predict"
    foreign.mkdir(parents=True)
    write_predictions(foreign / "generated_predictions.jsonl", ROWS)
    (foreign / "predict_results.json").write_text('{"predict_bleu-4": 12.5, "predict_runtime": 3.0}')
    os.utime(foreign / "generated_predictions.jsonl", (BEGAN + 20, BEGAN + 20))


def test_every_part_is_listed_finished_or_not_and_other_tools_folders_too(workspace: Workspace) -> None:
    filled(workspace)
    listed = list_reports(workspace)
    assert [(item.name, item.state, item.scored) for item in listed] == [
        ("both/base", "finished", True),
        ("both/lora", "finished", True),
        ("going", "stopped", False),
        ("old/predict", "finished", True),
    ]
    assert listed[0].report.values["exact_match"].n == 3
    assert (listed[2].report.subject.name, listed[2].report.data.rows) == ("x", 5)
    assert listed[3].report.values["bleu-4"].value == 12.5
    assert listed[3].run is None


def test_a_part_in_a_folder_below_is_meant_by_its_short_name(workspace: Workspace) -> None:
    parts = [PlannedPart(f"{name} · exam", f"parts/{name}", name, "exam", 3) for name in ("base", "lora")]
    ScriptedEvaluation(workspace.runs / "eval", parts)
    write_part(workspace.runs / "eval" / "parts" / "lora", ROWS, subject=Subject("lora", "demo"))
    assert [item.name for item in list_reports(workspace)] == ["eval/base", "eval/lora"]
    assert find_reports("eval/lora", workspace) == [workspace.runs / "eval" / "parts" / "lora"]
    assert find_reports("eval/parts/lora", workspace) == [workspace.runs / "eval" / "parts" / "lora"]
    assert find_reports("eval", workspace) == [workspace.runs / "eval" / "parts" / "lora"]


def test_a_folder_elsewhere_that_was_entered_is_listed(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outputs" / "predict"
    outside.mkdir(parents=True)
    write_predictions(outside / "generated_predictions.jsonl", ROWS)
    assert list_reports(workspace) == []
    enter_run(RunDirectory(outside), workspace)
    assert [item.name for item in list_reports(workspace)] == ["outputs/predict"]


def test_the_scores_of_a_reward_model_are_no_report(workspace: Workspace) -> None:
    run = ScriptedRun(workspace.runs / "zh-rm", stage="rm")
    (run.run.path / "generated_predictions.jsonl").write_text('{"chosen":1.5,"rejected":-0.25}\n')
    assert list_reports(workspace) == []
    with pytest.raises(ReportError, match="zh-rm is a reward model: it scores answers") as raised:
        find_reports("zh-rm", workspace)
    assert raised.value.hint == (
        "score pairs with: finetui eval zh-rm --dataset PAIRS; a model's answers with --reward_model zh-rm"
    )


def test_a_report_that_cannot_be_read_is_listed_with_the_reason(workspace: Workspace) -> None:
    filled(workspace)
    (workspace.runs / "both" / "lora" / "report.json").write_text('{"schema": 7}')
    broken = next(item for item in list_reports(workspace) if item.name == "both/lora")
    assert "schema 7" in broken.problem


def test_names_mean_runs_parts_folders_and_files(workspace: Workspace) -> None:
    filled(workspace)
    base, lora = workspace.runs / "both" / "base", workspace.runs / "both" / "lora"
    foreign = workspace.runs / "old" / "predict"
    assert find_reports("both", workspace) == [base, lora]
    assert find_reports("both/lora", workspace) == [lora]
    assert find_reports("both/exam", workspace) == [base, lora]
    assert find_reports(str(foreign / "generated_predictions.jsonl"), workspace) == [
        foreign / "generated_predictions.jsonl"
    ]
    assert find_reports("last", workspace) == [foreign]
    with pytest.raises(ReportError, match="no report boht") as caught:
        find_reports("boht/lora", workspace)
    assert caught.value.hint == "did you mean 'both/lora'?"
    with pytest.raises(ReportError, match=r"there is no file .*generated_predictons\.jsonl") as caught:
        find_reports(str(foreign / "generated_predictons.jsonl"), workspace)
    assert caught.value.hint == f"did you mean '{foreign / 'generated_predictions.jsonl'}'?"
    with pytest.raises(ReportError, match="is a folder without answers"):
        find_reports(str(workspace.root), workspace)
    with pytest.raises(ReportError, match="lora is a training") as caught:
        find_reports("lora", workspace)
    assert "finetui eval --adapter_name_or_path lora" in caught.value.hint
    with pytest.raises(ReportError, match="going has no answers yet"):
        find_reports("going", workspace)


# --- reviews ------------------------------------------------------------------------------------------------------


def test_the_latest_verdict_and_note_count_and_both_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    book = ReviewBook(path)
    assert book.of(ROWS[0]).verdict == ""
    book.put(ROWS[0], verdict="good")
    book.put(ROWS[0], note="真的")
    book.put(ROWS[1], verdict="bad")
    again = ReviewBook(path)
    assert (again.of(ROWS[0]).verdict, again.of(ROWS[0]).note) == ("good", "真的")
    assert again.counts() == {"good": 1, "bad": 1, "unsure": 0}
    again.put(ROWS[0], verdict="", note="")
    assert len(again) == 1
    assert len(path.read_text().splitlines()) == 4


def test_a_review_outlives_another_order_and_new_scores_by_the_rows_own_id(tmp_path: Path) -> None:
    write_part(tmp_path, ROWS)
    open_report(tmp_path).review.put(ROWS[1], verdict="unsure")
    write_part(tmp_path, [replace(row, row=2 - row.row) for row in reversed(ROWS)])
    opened = open_report(tmp_path)
    assert [opened.review.of(row).verdict for row in opened.predictions] == ["", "unsure", ""]
    repeat = replace(ROWS[1], repeat=1)
    assert opened.review.of(repeat).verdict == ""


def test_two_apps_review_at_once_without_tearing_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    rows = [Prediction("", "a", "b", id=f"r{number}") for number in range(40)]

    def judge(chosen: list[Prediction]) -> None:
        book = ReviewBook(path)
        for row in chosen:
            book.put(row, verdict="good", note="n" * 500)

    threads = [threading.Thread(target=judge, args=(rows[start::2],)) for start in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ReviewBook(path).counts()["good"] == 40
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_another_app_wrote_is_taken_in(tmp_path: Path) -> None:
    mine, theirs = ReviewBook(tmp_path / "r.jsonl"), ReviewBook(tmp_path / "r.jsonl")
    theirs.put(ROWS[0], verdict="bad")
    assert mine.of(ROWS[0]).verdict == ""
    assert mine.reload()
    assert mine.of(ROWS[0]).verdict == "bad"
    assert not mine.reload()
