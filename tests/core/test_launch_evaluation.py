"""What becomes of options before an evaluation starts: who answers, what is asked, where it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.errors import ConfigError
from core.launch.evaluation import PreparedEvaluation, plan_line, prepare_evaluation
from core.launch.machine import Machine
from core.launch.start import launch_of
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights

ROWS = [{"instruction": f"question {number}", "input": "", "output": f"answer {number}"} for number in range(5)]
CHOICE = {"question": "Which?", "A": "this", "B": "that", "C": "none", "D": "all", "answer": "B"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_model(found.models / "other")
    make_model(found.runs / "whole")
    make_adapter(found.runs / "zh", "demo")
    make_adapter(found.runs / "zh" / "checkpoints" / "step-000200", "demo")
    found.data.mkdir()
    write_set(found, "test", ROWS)
    write_set(found, "mmlu", [CHOICE] * 3)
    (found.data / "dataset_info.json").write_text(
        json.dumps({"test": {"file_name": "test.jsonl"}, "mmlu": {"file_name": "mmlu.jsonl"}})
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return found


def write_set(workspace: Workspace, name: str, rows: list[dict[str, str]]) -> None:
    (workspace.data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepared(workspace: Workspace, machine: Machine | None = None, **options: object) -> PreparedEvaluation:
    settings = load(EVALUATION, values={"dataset": "test", **options})
    return prepare_evaluation(settings, workspace, machine=machine or Machine(0))


def told(workspace: Workspace, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        prepared(workspace, **options)
    return [str(problem) for problem in caught.value.problems]


def test_several_models_and_sets_are_counted(workspace: Workspace) -> None:
    found = prepared(
        workspace,
        model_name_or_path="demo",
        adapter_name_or_path="zh,zh@200,whole",
        include_base=True,
        dataset="test,mmlu",
        repeats=2,
        temperature=1,
    )
    assert found.subjects == ("demo", "zh", "zh@200", "whole")
    assert [(one.name, one.rows, one.choices) for one in found.sets] == [("test", 5, False), ("mmlu", 3, True)]
    assert (found.answers, found.device, found.devices) == (52, "cpu", ("cpu",))  # letters are not drawn again
    assert plan_line(found) == "4 models, 2 test sets, 52 answers"
    assert found.run.path == workspace.runs / "eval-zh+-test+"
    launch = launch_of(found)
    assert (launch.kind, launch.model, launch.method, launch.subjects) == (
        "evaluation",
        "demo",
        "lora",
        ("demo", "zh", "zh@200", "whole"),
    )
    assert launch.command[1:4] == ("-P", "-m", "core.engine.evaluate")
    assert [(file.dataset, Path(file.path).name) for file in launch.data] == [
        ("test", "test.jsonl"),
        ("mmlu", "mmlu.jsonl"),
    ]


def test_the_base_of_an_adapter_is_found_where_no_model_is_named(workspace: Workspace) -> None:
    make_adapter(workspace.runs / "en", "other")
    found = prepared(workspace, adapter_name_or_path="en")
    assert (found.values["model_name_or_path"], found.run.name) == ("other", "eval-en-test")
    assert "model_name_or_path: other  # default; the adapter's base" in found.config
    assert prepared(workspace, adapter_name_or_path="en", model_name_or_path="default").config == found.config.replace(
        "default; the adapter's base", "model_name_or_path; the adapter's base"
    )
    alone = prepared(workspace, adapter_name_or_path="whole")
    assert [one.name for one in alone.candidates] == ["whole"]


def test_what_is_saved_starts_the_same_again_from_anywhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    metric = workspace.root / "mine.py"
    metric.write_text("def metric(predict, label):\n    return predict == label\n")
    first = prepared(workspace, adapter_name_or_path="runs/zh", dataset="data/test.jsonl", metrics="rouge-l,mine.py")
    (workspace.root / "config.yaml").write_text(first.config)
    monkeypatch.chdir("/")
    again = prepare_evaluation(load(EVALUATION, file=workspace.root / "config.yaml"), workspace, machine=Machine(0))
    assert again.values == first.values
    assert again.values["metrics"] == ("rouge-l", str(metric))
    assert again.values["adapter_name_or_path"] == (str(workspace.runs / "zh"),)


def test_half_precision_is_replaced_where_nothing_computes_in_it(workspace: Workspace) -> None:
    found = prepared(workspace, model_name_or_path="demo", fp16=True)
    assert (found.values["fp16"], found.values["dtype"]) == (False, "auto")
    assert [caution.message for caution in found.cautions] == [
        "fp16: there is no device here that computes in that format; dtype decides instead"
    ]
    gpu = prepared(workspace, Machine(1), model_name_or_path="demo", fp16=True)
    assert (gpu.values["fp16"], gpu.devices, gpu.cautions) == (True, ("cuda-0",), ())
    assert told(workspace, model_name_or_path="demo", fp16=True, strict=True) == [
        "fp16: there is no device here that computes in that format (leave it out, or leave --strict out)"
    ]


def test_everything_that_stands_against_it_is_told_at_once(workspace: Workspace) -> None:
    write_set(workspace, "bad", [{"instruction": "no answer"}])
    (workspace.data / "mine.py").write_text("answer = 42\n")
    found = told(
        workspace,
        model_name_or_path="demi",
        adapter_name_or_path="zhh",
        dataset=f"tset,{workspace.data / 'bad.jsonl'}",
        metrics=f"rouge-9,{workspace.data / 'mine.py'}",
        quantization_bit=4,
    )
    assert [line.partition(": ")[0] for line in found] == [
        "adapter_name_or_path",
        "model_name_or_path",
        "dataset",
        "dataset",
        "metrics",
        "metrics",
        "quantization_bit",
    ]
    assert "no adapter zhh (did you mean 'zh'?)" in found[0]
    assert "did you mean 'demo'?" in found[1]
    assert "did you mean 'test'?" in found[2]
    assert "did you mean 'rouge-" in found[4]
    (base,) = told(workspace, model_name_or_path="demi")
    assert base == "model_name_or_path: no model demi (did you mean 'demo'?)"
    (nothing,) = told(workspace, dataset="", model_name_or_path="demo")
    assert nothing.startswith("dataset: there is nothing to ask")


def test_the_method_has_to_agree_with_the_adapter(workspace: Workspace) -> None:
    assert prepared(workspace, adapter_name_or_path="zh", finetuning_type="lora").cautions == ()
    assert prepared(workspace, adapter_name_or_path="whole", finetuning_type="full").cautions == ()
    assert told(workspace, adapter_name_or_path="zh,whole", finetuning_type="p_tuning") == [
        "finetuning_type: says p_tuning, but zh is lora (leave it out: it is read from the folder)",
        "finetuning_type: says p_tuning, but whole is a whole model (leave it out: it is read from the folder)",
    ]


def test_a_served_model_takes_no_device_and_needs_no_model_here(workspace: Workspace) -> None:
    found = prepared(workspace, api_base="http://127.0.0.1:1/v1", api_model="Qwen/Q 1", threads=2)
    assert (found.candidates, found.subjects, found.devices, found.answers) == ((), ("Qwen/Q 1",), (), 5)
    assert found.run.name == "eval-Qwen_Q_1-test"
    assert [caution.message for caution in found.cautions] == [
        "threads does not count: a served model is loaded by its server"
    ]
    mmlu = {"task": "choices", "dataset": "mmlu"}
    assert told(workspace, api_base="http://127.0.0.1:1/v1", adapter_name_or_path="zh", **mmlu) == [
        "adapter_name_or_path: a served model cannot be asked for that (leave it out, or leave api_base out)",
        "task: choices are told by probabilities, which the server does not give (leave it out, or leave api_base out)",
    ]


def test_solved_questions_belong_to_choices_and_have_to_be_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(workspace, "shots", [CHOICE] * 2)
    shots = str(workspace.data / "shots.jsonl")
    found = prepared(workspace, model_name_or_path="demo", dataset="mmlu", n_shot=2, shot_dataset=shots)
    assert found.sets[0].choices
    monkeypatch.chdir(workspace.data)
    relative = prepared(workspace, model_name_or_path="demo", dataset="mmlu", n_shot=2, shot_dataset="shots.jsonl")
    assert relative.values["shot_dataset"] == shots
    assert told(workspace, model_name_or_path="demo", dataset="mmlu", n_shot=5, shot_dataset=shots) == [
        f"shot_dataset: {shots} has 2 questions, fewer than n_shot (lower n_shot)"
    ]
    (alone,) = told(workspace, model_name_or_path="demo", n_shot=2, shot_dataset=shots)
    assert alone.startswith("n_shot: belongs to multiple choice, and no test set is that")


def test_what_is_evaluated_is_never_overwritten(workspace: Workspace) -> None:
    (workspace.runs / "zh" / "events.jsonl").write_text("")
    for adapter in ("zh", "zh@200"):
        (problem,) = told(workspace, adapter_name_or_path=adapter, output_dir="zh", overwrite_output_dir=True)
        held = workspace.runs / "zh" / ("" if adapter == "zh" else "checkpoints/step-000200")
        assert problem == (
            f"output_dir: {workspace.runs / 'zh'} holds what this run needs, and overwrite_output_dir would delete it: "
            f"{held} (choose another output_dir)"
        )
    assert (workspace.runs / "zh" / "adapter_config.json").is_file()


def test_a_reward_model_is_a_folder_that_is_there(workspace: Workspace) -> None:
    (problem,) = told(workspace, model_name_or_path="demo", reward_model="zh")
    assert problem.startswith("reward_model: zh is no reward model: it has no value head")
    make_weights(workspace.runs / "zh" / VALUE_HEAD, {HEAD_WEIGHT: [1, 576]})
    found = prepared(workspace, model_name_or_path="demo", reward_model="zh", metrics="reward")
    assert found.values["reward_model"] == str(workspace.runs / "zh")
    (problem,) = told(workspace, model_name_or_path="demo", reward_model="zhh")
    assert problem == "reward_model: no reward model zhh (did you mean 'zh'?)"


def test_nobody_answers_and_nothing_is_asked_twice(workspace: Workspace) -> None:
    assert told(workspace, adapter_name_or_path="zh,runs/zh,whole", dataset="test,mmlu,test") == [
        "adapter_name_or_path: runs/zh is named twice (name it once; --repeats asks it several times)",
        "dataset: test is named twice (name it once; --repeats asks every question several times)",
    ]


# --- pairs ------------------------------------------------------------------------------------------------------

PAIR: dict[str, Any] = {"instruction": "Which?", "output": ["this", "that"]}


@pytest.fixture
def pairs(workspace: Workspace) -> Workspace:
    """With the comparisons `judged` and the reward model `rm`."""
    rows = [PAIR, {**PAIR, "instruction": "And then?"}]
    (workspace.data / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    info = workspace.data / "dataset_info.json"
    entry = {"file_name": "judged.jsonl", "ranking": True}
    info.write_text(json.dumps({**json.loads(info.read_text()), "judged": entry}))
    head = make_adapter(workspace.runs / "rm", "demo") / VALUE_HEAD
    make_weights(head, {HEAD_WEIGHT: [1, 576]})
    return workspace


def test_reward_models_are_asked_about_pairs(pairs: Workspace) -> None:
    found = prepared(pairs, adapter_name_or_path="rm", dataset="judged", temperature=1, repeats=3)
    assert [(one.name, one.rows, one.compared) for one in found.sets] == [("judged", 2, True)]
    assert found.answers == 2  # scores are not drawn
    assert [caution.message for caution in found.cautions] == [
        "temperature does not count: belongs to written answers, and pairs have theirs",
        "repeats does not count: belongs to written answers, and pairs have theirs",
    ]


def test_who_gives_no_scores_and_who_gives_nothing_else_are_told_apart(pairs: Workspace) -> None:
    assert told(pairs, model_name_or_path="demo", dataset="judged") == [
        "model_name_or_path: judged has two answers to each question, for reward models: demo is no reward model: it "
        "has no value head (take a run of stage rm, or a classification model with one label; finetui train --stage "
        "rm makes one)"
    ]
    assert told(pairs, adapter_name_or_path="rm", dataset="test") == [
        "adapter_name_or_path: rm is a reward model: it scores answers and writes none (give it pairs: --dataset "
        "PAIRS; to score a model's answers: --reward_model rm)"
    ]
    assert told(pairs, adapter_name_or_path="rm", dataset="test,judged") == [
        "dataset: judged has two answers to each question, test has one (evaluate them apart: reward models score "
        "pairs, others answer)"
    ]


def test_what_says_nothing_of_pairs_is_refused(pairs: Workspace) -> None:
    options: dict[str, Any] = {"reward_model": "rm", "reference_loss": True, "metrics": "margin,bleu-4"}
    found = told(pairs, adapter_name_or_path="rm", dataset="judged", **options)
    assert [line.partition(" (")[0] for line in found] == [
        "reward_model: the reward models of pairs are themselves evaluated",
        "reference_loss: reward models foretell no tokens",
        "metrics: bleu-4 says nothing of scores",
    ]
    assert told(pairs, adapter_name_or_path="rm", dataset="test", task="comparisons")[0].startswith(
        "dataset: test holds one answer for each question, not two to compare"
    )
