"""Preference pairs without a screen: how answers become pairs, what is kept, and the data set that is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.errors import ConfigError, DataError
from core.judging.drawing import Drawing, go_on_drawing, read_drawing
from core.judging.folder import judgings
from core.judging.verdicts import VerdictBook
from core.launch.start import start
from core.report.catalog import find_reports, list_reports
from core.runs.rundir import RunDirectory
from core.runs.state import wait_gone
from core.workspace import Workspace
from drawn_pairs import begun, draw_at_once, drawn, make_talks
from fake_drawer import COMMAND


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    draw_at_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return make_talks(tmp_path)


def told(caught: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    return [str(problem) for problem in caught.value.problems]


# --- drawing -----------------------------------------------------------------------------------------------------


def test_two_answers_of_one_model_to_every_prompt_with_its_history(workspace: Workspace) -> None:
    judging = drawn(workspace)
    pairs = judging.pairs()
    assert [(one.number, one.first.text, one.second.text) for one in pairs] == [
        (number, f"demo to {number}: 42.0", f"demo to {number}: 42.1") for number in range(4)
    ]
    assert [(message.role, message.content) for message in pairs[0].messages] == [
        ("system", "be brief"),
        ("user", "first?"),
        ("assistant", "1."),
        ("user", "second?"),
    ]
    assert read_drawing(judging) == Drawing((str(workspace.runs / "mine-answers"),), prompts=4)
    assert go_on_drawing(judging) is None
    assert judgings(workspace) == ["mine"]
    assert list_reports(workspace) == []  # nobody measures what is drawn
    assert find_reports("mine-answers", workspace) == [workspace.runs / "mine-answers"]


def test_one_answer_of_each_of_two_models(workspace: Workspace) -> None:
    pairs = drawn(workspace, adapter_name_or_path="zh", include_base=True, max_samples=2).pairs()
    assert [(one.first.source, one.second.source) for one in pairs] == [("demo", "zh")] * 2
    assert pairs[0].second.text == "zh to 0: 42.0"


def test_answers_that_are_alike_are_drawn_again_and_at_last_left_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, numbers in (("FAKE_ALIKE", "0"), ("FAKE_SAME", "1"), ("FAKE_EMPTY", "3")):
        monkeypatch.setenv(variable, numbers)
    judging = drawn(workspace, redraws=2)
    pairs = judging.pairs()
    # The second draw has another seed; the earliest answer that differs is taken.
    assert [(one.number, one.first.text, one.second.text) for one in pairs] == [
        (0, "always this", "demo to 0: 43.0"),
        (2, "demo to 2: 42.0", "demo to 2: 42.1"),
    ]
    names = ["mine-answers", "mine-answers-again", "mine-answers-again-2"]
    assert read_drawing(judging) == Drawing(tuple(str(workspace.runs / name) for name in names), 4, alike=1, lacking=1)
    asked = (judging.folder / "mine-prompts-3.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in asked] == ["1", "3"]


def test_greedy_answers_of_two_models_are_not_drawn_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SAME", "0,1,2")
    judging = drawn(workspace, adapter_name_or_path="zh", include_base=True, temperature=0)
    assert len(read_drawing(judging).runs) == 1
    assert [one.number for one in judging.pairs()] == [3]


def test_prompts_of_comparisons_are_asked_and_a_system_prompt_is_kept_with_them(workspace: Workspace) -> None:
    judging = drawn(workspace, dataset="compared", default_system="你是结衣")
    (one,) = judging.pairs()
    assert [(message.role, message.content) for message in one.messages] == [
        ("system", "你是结衣"),
        ("user", "这是什么？"),
    ]


def test_bare_questions_are_asked_too(workspace: Workspace) -> None:
    info = json.loads((workspace.data / "dataset_info.json").read_text())
    info["bare"] = {"file_name": "bare.jsonl", "columns": {"prompt": "instruction"}}
    (workspace.data / "dataset_info.json").write_text(json.dumps(info))
    (workspace.data / "bare.jsonl").write_text('{"instruction": "what?"}\n{"instruction": "who?"}\n')
    judging = drawn(workspace, dataset="bare")
    assert [one.messages[-1].content for one in judging.pairs()] == ["what?", "who?"]


def test_a_drawing_that_failed_goes_on_where_it_was(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.judging.drawing.start", start)
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(COMMAND))
    monkeypatch.setenv("FAKE_END", "fail")
    judging = begun(workspace, dataset="talks", output="mine")
    run = RunDirectory(workspace.runs / "mine-answers")
    wait_gone(run, 10)
    kept = (run.path / "answers.jsonl").read_text().splitlines()
    assert len(kept) == 4
    again = go_on_drawing(begun(workspace, output="mine"))  # its options are kept with it
    assert again == run
    wait_gone(run, 10)
    assert go_on_drawing(judging) is None
    assert len(judging.pairs()) == 4


def test_every_option_reaches_the_runs_that_draw(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ALIKE", "1")
    given = {
        "dtype": "float32",
        "device": "cpu",
        "threads": 2,
        "template": "default",
        "trust_remote_code": True,
        "source_prefix": "be kind. ",
        "cutoff_len": 99,
        "per_device_eval_batch_size": 3,
        "stop": ["END"],
        "temperature": 0.8,
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "max_new_tokens": 9,
        "seed": 42,
        "enable_thinking": False,
        "do_sample": True,
        "finetuning_type": "lora",
        "reward_model": "judge",
    }
    judging = drawn(workspace, adapter_name_or_path="zh", **given)
    paths = {"reward_model": str(workspace.runs / "judge"), "stop": ("END",)}
    for number, path in enumerate(read_drawing(judging).runs):
        values = load(EVALUATION, file=Path(path) / "config.yaml").values()
        wanted = {**given, **paths, "seed": 42 + number, "repeats": 2, "task": "answers"}
        assert {name: values[name] for name in wanted} == wanted
        assert values["adapter_name_or_path"] == (str(workspace.runs / "zh"),)
    assert number == 1


def test_columns_with_other_names_and_rows_with_mistakes(workspace: Workspace) -> None:
    texts = [("one?", [["before", "so"]]), ("", []), ("3?", [])]
    rows = [{"question": "not this", "title": text, "answer": "a", "h": before} for text, before in texts]
    (workspace.data / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = {"prompt_column": "title", "response_column": "answer", "history_column": "h", "dataset": "data/odd.jsonl"}
    with pytest.raises(DataError, match="the question is empty"):
        drawn(workspace, **named)
    judging = drawn(workspace, on_bad_rows="skip", **named)
    assert [[message.content for message in one.messages] for one in judging.pairs()] == [
        ["before", "so", "one?"],
        ["3?"],
    ]
    assert read_drawing(judging).left_out == 1


# --- beginning and going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "dataset: there is nothing to ask"),
        ({"dataset": "talks", "temperature": 0}, "temperature: greedy answers of one model are the same"),
        (
            {"dataset": "talks", "adapter_name_or_path": "zh,zh2", "include_base": True},
            "adapter_name_or_path: 3 models would answer, and a pair has two answers",
        ),
        ({"dataset": "talks", "judge": "reward"}, "judge: reward needs a reward model"),
        ({"dataset": "talks", "reward_model": "none"}, "reward_model: "),
        (
            {"dataset": "talks", "min_margin": 1},
            "min_margin: is between rewards, and no reward model gives any (name it with reward_model)",
        ),
    ],
)
def test_what_cannot_be_drawn_is_told_and_leaves_nothing(workspace: Workspace, options: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        begun(workspace, **options)
    assert told(caught)[0].startswith(problem)
    assert judgings(workspace) == []
    assert not (workspace.data / "judging" / "talks_preferences").exists()


def test_a_set_of_somebody_else_is_never_overwritten(workspace: Workspace) -> None:
    for overwrite in (False, True):
        with pytest.raises(DataError, match="there is a data set compared already"):
            begun(workspace, dataset="talks", output="compared", overwrite=overwrite)


def test_other_answers_need_another_name(workspace: Workspace) -> None:
    drawn(workspace)
    with pytest.raises(ConfigError) as caught:
        begun(workspace, output="mine", temperature=0.5, max_samples=3)
    assert [problem.split(" (")[0] for problem in told(caught)] == [
        "max_samples: was not given when these pairs were begun, and stays so",
        "temperature: was 1 when these pairs were begun, and stays so",
    ]
    again = begun(workspace, output="mine", judge="nobody", per_device_eval_batch_size=2)
    assert (again.options.judge, again.settings.values()["dataset"]) == ("nobody", ("talks",))


def test_who_judges_may_change_when_it_goes_on(workspace: Workspace) -> None:
    drawn(workspace, reward_model="judge", judge="app")
    again = begun(workspace, output="mine", judge="reward", min_margin=0.5)
    assert (again.options.judge, again.options.reward_model, again.options.min_margin) == ("reward", "judge", 0.5)


def test_beginning_anew_forgets_only_when_the_new_one_has_begun(workspace: Workspace) -> None:
    judging = drawn(workspace)
    VerdictBook(judging.verdicts, 42).judge(judging.pairs()[0], "first")
    with pytest.raises(ConfigError):
        begun(workspace, dataset="talks", output="mine", overwrite=True, temperature=0)
    assert VerdictBook(judging.verdicts, 42).latest.keys() == {0}
    judging = drawn(workspace, overwrite=True, max_samples=1)
    assert not judging.verdicts.exists()
    assert [one.number for one in judging.pairs()] == [0]
