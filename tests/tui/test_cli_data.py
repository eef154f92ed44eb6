"""`finetui data`: what each verb prints, and what it leaves on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import runner
from core.errors import Problem
from core.runs.plan import (
    DiskEstimate,
    LeftOutRow,
    MemoryEstimate,
    Plan,
    Planning,
    PlanRecord,
    Refused,
    TokenReport,
)
from core.workspace import Workspace
from hostile import CORPUS, dangers
from tui.cli import data_tokens

ALPACA = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    (tmp_path / "data").mkdir()
    return Workspace(tmp_path)


@pytest.fixture
def finetui(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> Any:
    return runner(capsys, "data")


def fill(workspace: Workspace, **sets: list[dict[str, Any]]) -> None:
    for name, rows in sets.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (workspace.data / f"{name}.jsonl").write_text(text)
    info = {name: {"file_name": f"{name}.jsonl", **ALPACA} for name in sets}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info, ensure_ascii=False))


def row(question: str, answer: str) -> dict[str, str]:
    return {"instruction": question, "input": "", "output": answer}


# --- list --------------------------------------------------------------------------------------------------------


def test_a_list_of_sets_of_files_without_an_entry_and_of_entries_that_are_wrong(
    finetui: Any, workspace: Workspace
) -> None:
    fill(workspace, 电信=[row("问题", "答案")] * 3)
    (workspace.data / "free.csv").write_text("content,summary\nq,a\n")
    (workspace.data / "odd.txt").write_text("a line\n")
    info = json.loads((workspace.data / "dataset_info.json").read_text())
    info |= {"gone": {"file_name": "gone.json"}, "wrong": {}, "hub": {"hf_hub_url": "org/name"}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info, ensure_ascii=False))
    run = finetui("list")
    assert run.code == 0
    assert run.out.splitlines() == [
        "DATA SET  ROWS  SIZE   FORMAT  COLUMNS                     FILE",
        "电信      3     177 B  alpaca  instruction, input, output  data/电信.jsonl",
        "gone      ?            alpaca  instruction, input, output  data/gone.json   ! gone: data/gone.json is missing",
        "hub       ?            alpaca  instruction, input, output  org/name",
        "free      1     20 B   alpaca  content, summary            data/free.csv    "
        "! not entered: finetui data add free.csv",
        "odd       ?     7 B    alpaca                              data/odd.txt     "
        "! data/odd.txt: the columns 'text' do not tell which is the question and which the answer",
        "data/dataset_info.json: wrong: the entry names no file: "
        "name the set's file with file_name, or its hub with hf_hub_url",
    ]
    records = finetui("list", "--json").records
    assert [(found["kind"], found.get("name"), found.get("rows")) for found in records] == [
        ("dataset", "电信", 3),
        ("dataset", "gone", None),
        ("dataset", "hub", None),
        ("dataset", "free", 1),
        ("dataset", "odd", None),
        ("problem", None, None),
    ]
    assert records[3]["registered"] is False


def test_no_sets_are_said_to_be_none(finetui: Any) -> None:
    assert finetui("list").out == "no data sets in data\n"
    assert finetui().out == "no data sets in data\n"


# --- show --------------------------------------------------------------------------------------------------------


def test_rows_are_shown_as_they_are_learnt_bad_ones_with_their_problem(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row("one\ntwo", "a"), row("q", ""), row("r", "b"), row("s", "c")])
    run = finetui("show", "x")
    assert run.out.splitlines() == [
        "name      x",
        "file      data/x.jsonl",
        "rows      4",
        "format    alpaca",
        "prompt    instruction",
        "query     input",
        "response  output",
        "",
        "1  data/x.jsonl:1",
        "  user: one",
        "    two",
        "  assistant: a",
        "",
        "2  data/x.jsonl:2",
        "data/x.jsonl:2: the answer 'output' is empty: "
        "write one, or take the row out: the model would learn to say nothing",
        "",
        "3  data/x.jsonl:3",
        "  user: r",
        "  assistant: b",
    ]
    (head, *rows) = finetui("show", "x", "--start", "2", "--rows", "2", "--json").records
    assert (head["kind"], head["rows"]) == ("dataset", 4)
    assert [found["row"] for found in rows] == [2, 3]
    assert rows[0]["problems"][0]["problem"] == "empty_answer"
    assert rows[1]["messages"] == [{"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]


def test_rows_with_a_text(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row("q", "a"), row("needle", "b"), row("q", "Needle")])
    assert [found["row"] for found in finetui("show", "x", "--search", "needle", "--json").records[1:]] == [2, 3]
    run = finetui("show", "x", "--search", "nothing")
    assert run.err == "no row has this text\n"


def test_a_start_behind_the_last_row_is_told(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row("q", "a")] * 2)
    assert finetui("show", "x", "--start", "3").err == "there are 2 rows\n"
    assert finetui("show", "x", "--start", "2").err == ""


def test_a_ranking_shows_both_answers(finetui: Any, workspace: Workspace) -> None:
    (workspace.data / "r.json").write_text('[{"instruction": "q", "output": ["good", "bad"]}]')
    assert finetui("show", "r.json").out.splitlines()[-3:] == ["  user: q", "  better: good", "  worse: bad"]
    record = finetui("show", "r.json", "--json").records[1]
    assert (record["chosen"], record["rejected"]) == ("good", "bad")
    assert finetui("stats", "r.json", "--json").records[0]["answers"]["longest"] == len("good")


@pytest.mark.parametrize("verb", ["list", "show", "check", "stats"])
def test_nothing_from_a_file_reaches_the_terminal(finetui: Any, workspace: Workspace, verb: str) -> None:
    texts = [text for text in CORPUS.values() if len(text) < 400]
    rows = [{"instruction": text, "input": text, "output": text, f"x{text}": text} for text in texts]
    (workspace.data / "x.jsonl").write_text("".join(json.dumps(found) + "\n" for found in rows * 2))
    name = f"x{CORPUS['colours']}"
    info = {name: {"file_name": "x.jsonl", "columns": {"prompt": f"x{texts[0]}", "response": "output"}}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info))
    for words in ([verb], [verb, "--json"]):
        names = [] if verb == "list" else ["--", name]
        run = finetui(*words, *(["--rows", "99"] if verb == "show" else []), *names)
        assert run.out
        assert dangers(run.out + run.err) == []


# --- add ---------------------------------------------------------------------------------------------------------


def test_a_file_is_entered_with_what_its_columns_mean(finetui: Any, workspace: Workspace) -> None:
    (workspace.data / "mine.csv").write_text("content,summary\nq,a\n")
    run = finetui("add", "mine.csv")
    assert run.code == 0
    assert run.out.splitlines()[-1] == "entered in data/dataset_info.json; look at it with: finetui data check mine"
    info = json.loads((workspace.data / "dataset_info.json").read_text())
    assert info == {"mine": {"file_name": "mine.csv", "columns": {"prompt": "content", "response": "summary"}}}
    again = finetui("add", "mine.csv")
    assert again.code == 2
    assert again.err.splitlines()[0] == "error: data/dataset_info.json has a data set 'mine' already"
    assert finetui("add", "mine.csv", "--name", "other").code == 0


def test_columns_can_be_named(finetui: Any, workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "three.jsonl"
    outside.write_text('{"a": "x", "b": "y", "c": "z"}\n')
    assert finetui("add", "three.jsonl").code == 2
    (record,) = finetui("add", "three.jsonl", "--prompt", "b", "--response", "c", "--system", "a", "--json").records
    assert record["columns"] == {"prompt": "b", "response": "c", "system": "a"}
    assert json.loads((workspace.data / "dataset_info.json").read_text())["three"]["file_name"] == str(outside)
    assert finetui("show", "three").out.splitlines()[-3:] == ["  system: x", "  user: y", "  assistant: z"]


def test_columns_that_are_not_there_are_not_entered(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, mine=[row("q", "a")])
    (workspace.data / "dataset_info.json").unlink()
    run = finetui("add", "mine.jsonl", "--prompt", "instruction", "--response", "Output")
    assert run.code == 2
    assert run.err.splitlines() == [
        "error: data/mine.jsonl has no column 'Output' for --response",
        "hint: there are: instruction, input, output",
    ]
    assert not (workspace.data / "dataset_info.json").exists()


def test_no_file(finetui: Any) -> None:
    run = finetui("add", "nothing.json")
    assert (run.code, run.err) == (2, "error: nothing.json is no file\nhint: name a file here or in data\n")


# --- check -------------------------------------------------------------------------------------------------------


def test_problems_are_told_with_places_and_end_with_1(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row("q", "a"), row("q", "a"), row("p", "")], good=[row("z", "a")])
    run = finetui("check", "x")
    assert run.code == 1
    assert run.out.splitlines() == [
        "data/x.jsonl:3: the answer 'output' is empty: "
        "write one, or take the row out: the model would learn to say nothing",
        "data/x.jsonl:2: the same row as data/x.jsonl:1: "
        "take one of them out, unless it is meant to weigh more (warning)",
        "3 rows, 1 problem, 1 warning, 1 row cannot be used",
    ]
    *problems, summary = finetui("check", "x", "--json").records
    assert [(found["severity"], found["where"]) for found in problems] == [
        ("error", "data/x.jsonl:3"),
        ("warning", "data/x.jsonl:2"),
    ]
    assert (summary["kind"], summary["errors"], summary["total"], summary["bad_rows"]) == ("summary", 1, 2, 1)
    good = finetui("check", "good")
    assert (good.code, good.out) == (0, "1 row, no problems\n")


def test_warnings_alone_end_with_0_and_the_test_set_is_looked_for(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, train=[row("q", "a")], test=[row("q", "b")])
    run = finetui("check", "train", "--against", "test")
    assert run.code == 0
    assert run.out.splitlines()[0].startswith(
        "data/train.jsonl:1: the question stands in the test set too: data/test.jsonl:1"
    )
    assert run.out.splitlines()[1] == "2 rows, 0 problems, 1 warning"


def test_more_than_a_hundred_problems_are_counted(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row(str(number), "") for number in range(1150)])
    lines = finetui("check", "x").out.splitlines()
    assert len(lines) == 102
    assert lines[-2:] == ["and 1,051 more", "1150 rows, 1151 problems, 0 warnings, 1150 rows cannot be used"]


def test_with_a_model_the_engine_counts_the_tokens(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, x=[row("q", "a"), row("p", ""), row("r", "b")])
    asked: list[Any] = []

    def ask_engine(text: str, *_arguments: Any, **options: Any) -> Iterator[PlanRecord]:
        asked.append((json.loads(text), options))
        reasons = {"untrained": 1, "unreadable": 1}
        first = (LeftOutRow("data/x.jsonl:2", "unreadable", "…"), LeftOutRow("data/x.jsonl:3", "untrained"))
        tokens = TokenReport(rows=1, cut_rows=1, first_cut=("data/x.jsonl:1",), left_out=2, left_out_reasons=reasons)
        yield Planning(0.5)
        yield plan_of(dataclasses.replace(tokens, first_left_out=first))

    monkeypatch.setattr(data_tokens, "ask_engine", ask_engine)
    run = finetui("check", "x", "--model", "tiny", "--cutoff_len", "64")
    assert run.out.splitlines() == [
        "data/x.jsonl:2: the answer 'output' is empty: "
        "write one, or take the row out: the model would learn to say nothing",
        "data/x.jsonl:3: no token of the row bears loss: shorten it, take it out, or raise cutoff_len",
        "data/x.jsonl:1: the row is longer than 64 tokens and is cut: shorten it, or raise cutoff_len (warning)",
        "3 rows, 2 problems, 1 warning, 2 rows cannot be used",
    ]
    assert asked == [
        (
            {
                "dataset_dir": "data",
                "cutoff_len": 64,
                "template": "auto",
                "model_name_or_path": "tiny",
                "dataset": ["x"],
                "on_bad_rows": "skip",
            },
            {"dry": False},
        )
    ]


def test_a_model_that_cannot_be_used_is_told(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, x=[row("q", "a")])
    refused = Refused((Problem("model_name_or_path", "no model tiny", "take another"),), 1)
    monkeypatch.setattr(data_tokens, "ask_engine", lambda *_arguments, **_options: iter([refused]))
    run = finetui("check", "x", "--model", "tiny")
    assert run.code == 2
    assert run.err.splitlines()[-2:] == ["error: model_name_or_path: no model tiny", "hint: take another"]


def plan_of(tokens: TokenReport) -> Plan:
    memory = MemoryEstimate(0, 0, 0, 0, 0, 0, 0, 0, "cpu")
    names = "rows eval_rows rows_per_update micro_batches_per_epoch updates_per_epoch total_steps packs checkpoints"
    counts = dict.fromkeys((*names.split(), "points", "evaluations", "parameters", "trainable"), 0)
    return Plan(
        "lora",
        "tiny",
        tokens,
        epochs=1.0,
        memory=memory,
        gradient_checkpointing=False,
        disk=DiskEstimate(0, 0, 0),
        **counts,
    )


# --- split and stats ---------------------------------------------------------------------------------------------


def test_the_split_of_the_seed(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, telecom=[row(f"q{number}", f"取消方式_{number % 40}") for number in range(5000)])
    run = finetui("split", "telecom", "--train", "400", "--test", "100", "--stratify")
    assert run.code == 0
    assert run.out.splitlines() == [
        "telecom_train_400: 400 rows, 40 classes: data/telecom_train_400.jsonl",
        "telecom_test_100: 100 rows, 40 classes: data/telecom_test_100.jsonl",
    ]
    assert finetui("check", "telecom_train_400", "--against", "telecom_test_100").out == "500 rows, no problems\n"
    assert [found["name"] for found in finetui("list", "--json").records] == [
        "telecom",
        "telecom_train_400",
        "telecom_test_100",
    ]
    assert run.err == ""
    again = finetui("split", "telecom", "--train", "400", "--name", "telecom")
    assert again.err.splitlines()[0] == "error: data/dataset_info.json: there is a 'telecom_train_400' already"


def test_parts_without_their_whole_are_split_from_the_largest(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, qa_train_2=[row("q", "a")] * 2, qa_train_3=[row("q", "a")] * 3)
    run = finetui("split", "qa", "--train", "2")
    assert run.err == "qa has several parts; rows are taken from the largest, qa_train_3\n"
    assert run.out == "qa_2_train_2: 2 rows: data/qa_2_train_2.jsonl\n"
    assert finetui("split", "data/qa_train_3.jsonl", "--train", "1").err == ""


def test_answers_that_do_not_repeat_have_no_classes(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row(str(number), f"{number} apples") for number in range(9)])
    run = finetui("split", "x", "--test", "2", "--stratify")
    assert run.code == 2
    assert run.err.splitlines() == [
        "error: x: its answers do not repeat, so there are no classes whose shares could be kept",
        "hint: leave --stratify out",
    ]
    assert [found["rows"] for found in finetui("split", "x", "--test", "2", "--json").records] == [7, 2]


def test_figures_with_histograms_and_classes(finetui: Any, workspace: Workspace) -> None:
    fill(workspace, x=[row("q" * length, answer) for length, answer in ((1, "yes"), (2, "yes"), (2, "no"), (3, "yes"))])
    lines = finetui("stats", "x").out.splitlines()
    assert lines[:9] == [
        "rows: 4",
        "questions that were there before: 1",
        "questions in a row, on average: 1.00",
        "",
        "question, in characters: 1 to 3, median 2, mean 2.0, 95 of 100 up to 3",
        "  1  1  " + "#" * 20,
        "  2  2  " + "#" * 40,
        "  3  1  " + "#" * 20,
        "",
    ]
    assert lines[-3:] == ["2 different answers:", "  yes  3  " + "#" * 40, "  no   1  " + "#" * 14]
    (record,) = finetui("stats", "x", "--json").records
    assert record["classes"] == {"by": "answer", "counts": [["yes", 3], ["no", 1]]}
