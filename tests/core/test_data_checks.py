"""What a data set can have wrong with it, each told by one message; what stops a training, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.data import DataOptions
from core.data.checks import BadData, Report, check
from core.errors import DataError
from core.workspace import Workspace
from faulty_sets import CORPUS, GOOD, RANKED, SHAREGPT, jsonl, ranked, said


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def make(workspace: Workspace, **sets: tuple[dict[str, Any], bytes]) -> None:
    """Data sets with their entries."""
    info = {}
    for name, (entry, content) in sets.items():
        info[name] = {"file_name": f"{name}.jsonl", **entry}
        (workspace.data / info[name]["file_name"]).write_bytes(content)
    (workspace.data / "dataset_info.json").write_text(json.dumps(info))


def told(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]


@pytest.mark.parametrize("name", CORPUS)
def test_each_problem_is_told_by_file_line_and_what_to_do(workspace: Workspace, name: str) -> None:
    entry, content, expected = CORPUS[name]
    make(workspace, x=(entry, content))
    report = check(["x"], None, workspace)
    assert told(report) == expected
    assert report.total == len(expected)


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        *(("GBK", False), ("duplicates", False), ("mixed newlines", False), ("no input column", False)),
        *(("null answer", True), ("broken line", True), ("rejected null", True), ("empty file", True)),
    ],
)
def test_warnings_stop_no_training(workspace: Workspace, name: str, stops: bool) -> None:
    entry, content, _expected = CORPUS[name]
    make(workspace, x=(entry, content))
    assert check(["x"], None, workspace).stops() is stops


def test_bad_rows_are_counted_and_can_be_left_out(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl(GOOD, {"instruction": 1, "output": 2}, {"instruction": "p", "output": ""})))
    report = check(["x"], None, workspace)
    assert (report.rows, report.bad_rows, report.errors) == (3, 2, 3)
    assert report.counts == {"wrong_type": 2, "empty_answer": 1}
    assert report.stops("stop")
    assert not report.stops("skip")


def test_a_set_that_cannot_be_used_stops_whatever_was_chosen(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl({"instruction": "q", "output": ""})))
    assert check(["x"], None, workspace).stops("skip")


def test_the_error_tells_all_that_stops_and_what_to_do(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl(GOOD, GOOD, {"instruction": "p", "output": ""}, {"instruction": "r", "output": 1})))
    with pytest.raises(BadData) as caught:
        check(["x"], None, workspace).raise_if_it_stops()
    assert caught.value.message.splitlines() == [
        "2 problems in the data:",
        "  data/x.jsonl:3: the answer 'output' is empty: write one, or take the row out: "
        "the model would learn to say nothing",
        "  data/x.jsonl:4: 'output' is a number, not a text: put it in quotes",
    ]
    assert caught.value.hint == "mend them, or leave bad rows out with --on_bad_rows skip"


def test_the_first_hundred_are_kept_errors_before_warnings_and_all_are_counted(workspace: Workspace) -> None:
    bad = {"instruction": "p", "output": ""}
    make(workspace, x=({}, jsonl(GOOD, *[GOOD] * 150, *[bad] * 120)))
    report = check(["x"], None, workspace)
    assert [problem.kind for problem in report.problems] == ["empty_answer"] * 100
    assert report.counts == {"duplicate": 150, "empty_answer": 120}
    assert (report.total, report.errors) == (270, 120)


def test_questions_of_the_test_set_may_not_stand_in_the_training(workspace: Workspace) -> None:
    make(
        workspace,
        train=({}, jsonl(GOOD, {"instruction": "p", "output": "b"})),
        test=(
            {"columns": {"prompt": "ask", "response": "say"}},
            jsonl({"ask": "x", "say": "y"}, {"ask": "p", "say": "c"}),
        ),
    )
    report = check(["train"], None, workspace, against=["test"])
    assert report.datasets == ("train", "test")
    assert told(report) == [
        "data/train.jsonl:2: the question stands in the test set too: data/test.jsonl:2: "
        "take it out of one of them: the evaluation would measure memory"
    ]
    assert not report.stops()


def test_duplicates_are_seen_across_the_sets_of_a_training(workspace: Workspace) -> None:
    make(workspace, a=({}, jsonl({"instruction": "x", "output": "y"}, GOOD)), b=({}, jsonl(GOOD)))
    assert told(check(["a", "b"], None, workspace)) == [
        "data/b.jsonl:1: the same row as data/a.jsonl:2: take one of them out, unless it is meant to weigh more"
    ]


def test_a_missing_file_is_a_problem_beside_those_of_other_sets(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl({"instruction": "q", "output": ""}, GOOD)), y=({}, b""))
    (workspace.data / "y.jsonl").unlink()
    assert told(check(["x", "y"], None, workspace)) == [
        "y: data/y.jsonl is missing: did you mean 'x.jsonl'?",
        "data/x.jsonl:1: the answer 'output' is empty: "
        "write one, or take the row out: the model would learn to say nothing",
    ]


def test_a_name_that_is_not_there_is_told_with_the_nearest(workspace: Workspace) -> None:
    make(workspace, telecom=({}, jsonl(GOOD)))
    with pytest.raises(DataError) as caught:
        check(["telcom"], None, workspace)
    assert str(caught.value) == "data/dataset_info.json has no data set 'telcom': did you mean 'telecom'?"


def test_the_kind_of_set_has_to_fit_what_is_trained(workspace: Workspace) -> None:
    make(workspace, r=(RANKED, jsonl(ranked("a", "b"))), s=({}, jsonl(GOOD)))
    assert told(check(["r"], None, workspace, kind="answers")) == [
        "r holds rankings: two answers for each question: "
        "take a set with one answer, or stage rm or dpo, which compare two"
    ]
    assert told(check(["s"], None, workspace, kind="pairs")) == [
        "s holds one answer for each question, not two to compare: "
        'take stage sft or ppo, or set "ranking": true in dataset_info.json if it does hold two'
    ]


def test_chosen_columns_go_before_those_of_the_entry(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl({"content": "q", "summary": "a"})))
    chosen = DataOptions(prompt_column="content", response_column="summary")
    assert told(check(["x"], chosen, workspace)) == []
    make(workspace, x=(SHAREGPT, jsonl(said(("human", "q"), ("gpt", "a")))))
    assert told(check(["x"], chosen, workspace)) == [
        "x: prompt_column means nothing for a set of messages: "
        "leave it out, or name the set's messages in dataset_info.json"
    ]


def test_rows_beyond_max_samples_are_nobodys_concern(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl(GOOD, {"instruction": "p", "output": ""})))
    report = check(["x"], DataOptions(max_samples=1), workspace)
    assert (report.rows, report.total) == (1, 0)


def test_progress_is_told_by_rows(workspace: Workspace) -> None:
    make(workspace, x=({}, jsonl(*(GOOD | {"instruction": str(number)} for number in range(20_001)))))
    steps: list[tuple[int, int]] = []
    check(["x"], None, workspace, on_progress=lambda done, total: steps.append((done, total)))
    assert steps == [(20_000, 20_001)]
