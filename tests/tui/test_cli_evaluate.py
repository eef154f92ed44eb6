"""`finetui eval`, and predictions by `finetui train`, as commands. The evaluator is a fake, the rest is real."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_evaluator
from begun_runs import end_runs
from commands import Run
from core.config.evaluation import EVALUATION
from core.config.load import load
from core.launch import evaluation as evaluation_module
from core.launch.local import EVALUATOR_VARIABLE
from core.launch.machine import Machine
from core.launch.stopping import stop, wait_ended
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD
from core.report.files import read_predictions
from core.runs.catalog import find_run, list_runs
from core.runs.events import Answered, StageChanged
from core.runs.history import History
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights
from tui.cli import following
from waiting import PATIENCE

ROWS = [{"instruction": f"question {number}", "input": "", "output": f"answer {number}"} for number in range(4)]
PREDICT = (
    *("train", "--stage", "sft", "--do_predict", "--model_name_or_path", "demo", "--adapter_name_or_path"),
    *("outputs/sft_output", "--dataset", "telecom_test_100", "--template", "default", "--finetuning_type", "lora"),
    *("--output_dir", "outputs/sft_predict", "--overwrite_output_dir", "--per_device_eval_batch_size", "1"),
    *("--max_samples", "150", "--predict_with_generate", "--fp16"),
)
"""Seed 002's command, with a model that only looks like one."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """The model `demo`, its adapters `zh` and `outputs/sft_output`, two test sets, and no accelerator."""
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_adapter(found.runs / "zh", "demo")
    make_adapter(found.root / "outputs" / "sft_output", "demo")
    found.data.mkdir()
    info = {name: {"file_name": "rows.jsonl"} for name in ("telecom_test_100", "more")}
    (found.data / "dataset_info.json").write_text(json.dumps(info))
    (found.data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.setenv("FINETUI_WORKSPACE", str(found.root))
    monkeypatch.setenv(EVALUATOR_VARIABLE, json.dumps(fake_evaluator.COMMAND))
    monkeypatch.setattr(evaluation_module, "this_machine", lambda: Machine(0))
    monkeypatch.chdir(found.root)
    yield found
    end_runs(list_runs(found))


def evaluate(finetui: Any, *words: str) -> Run:
    found = finetui("eval", "--adapter", "zh", "--dataset", "more", *words)
    assert isinstance(found, Run)
    return found


def stored(run: RunDirectory) -> dict[str, Any]:
    return load(EVALUATION, file=run.config).values()


# --- starting and following -------------------------------------------------------------------------------------


def test_an_evaluation_is_followed_to_its_table(finetui: Any, workspace: Workspace) -> None:
    done = evaluate(finetui, "--include_base", "--fp16")
    assert done.code == 0
    warning, _starting, asked, model, *answers, scored = [
        line for line in done.out.split("\nmore: ")[0].splitlines() if line
    ]
    assert warning.startswith("warning: fp16: there is no device here that computes in that format")
    assert asked == "8 answers to make"
    assert model == "demo: 135M parameters, lora, float32 on cpu, template x"
    assert answers[0] == "demo · more 1/4 ( 12.50% ), exact_match: 50, speed: 2.00 rows/s, ETA: 00:00:03"
    assert scored == "zh · more: 4 rows, exact_match: 50, bleu-4: 61.5"
    table = re.split(r"\n(?=more: )", done.out)[1].splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in table[:5]] == [
        ["more: 4 rows"],
        ["METRIC", "demo", "zh"],
        ["exact_match", "50.00 (25.00 – 75.00)", "50.00 (25.00 – 75.00)"],
        ["bleu-4", "61.50 (51.50 – 71.50)", "62.50 (51.50 – 71.50)"],
        ["answers", "4", "4"],
    ]
    assert table[5] == "! bleu-4: labels are short"
    assert table[-1] == f"finished after 8 answers; everything is in {workspace.runs / 'eval-zh-more'}"
    assert done.err.endswith(
        "the answers: finetui report eval-zh-more   against one another: finetui compare eval-zh-more\n"
    )


def test_json_is_the_events_and_a_detached_one_is_named(finetui: Any, workspace: Workspace) -> None:
    records = evaluate(finetui, "--json").records
    assert [record["type"] for record in records if record["type"] in ("answered", "part_scored")] == [
        *["answered"] * 4,
        "part_scored",
    ]
    assert records[-1]["reason"] == "completed"
    (named,) = evaluate(finetui, "--detach", "--json").records
    assert named == {"run": "eval-zh-more-2", "path": str(workspace.runs / "eval-zh-more-2")}
    wait_ended(find_run("eval-zh-more-2", workspace), PATIENCE)


def test_a_plan_starts_nothing(finetui: Any, workspace: Workspace) -> None:
    done = evaluate(finetui, "--plan", "--dataset", "telecom_test_100", "--repeats", "3", "--temperature", "1")
    assert done.out.splitlines() == [
        "run        eval-zh-more+",
        "answer     zh",
        "test sets  more (4), telecom_test_100 (4)",
        "device     cpu",
        "in all     1 model, 2 test sets, 24 answers",
    ]
    assert finetui("eval", "zh", "outputs/sft_output", "--dataset", "more", "--plan").out.splitlines()[1:3] == [
        "answer     zh, sft_output",
        "test sets  more (4)",
    ]
    (record,) = evaluate(finetui, "--plan", "--json").records
    assert (record["answers"], record["subjects"], record["config"]["dataset"]) == (4, ["zh"], ["more"])
    assert [path.name for path in workspace.runs.iterdir()] == ["zh"]


def test_options_are_saved_shown_and_start_the_same(finetui: Any, workspace: Workspace) -> None:
    saved = evaluate(finetui, "--preset", "telecom", "--save_config", "mine.yaml")
    assert saved.out == "saved mine.yaml; start it with: finetui eval mine.yaml\n"
    shown = finetui("eval", "mine.yaml", "--show_config").out
    assert "include_base: true  # mine.yaml:" in shown
    assert finetui("eval", "mine.yaml", "--plan").out == evaluate(finetui, "--preset", "telecom", "--plan").out


def test_a_bar_tells_who_is_busy_how_fast_and_what_came_out_so_far(workspace: Workspace) -> None:
    shown: dict[str, Any] = {}

    class Progress:
        def add_task(self, *_words: object, **_fields: object) -> int:
            return 0

        def update(self, _task: int, **fields: Any) -> None:
            shown.update(fields)

    bar, history = following._Bar(Progress()), History(RunDirectory(workspace.runs / "mine"))
    history.add(StageChanged(1.0, "answering"))
    history.add(Answered(1.0, "zh · more", 0, 100, 0, 200))
    bar.standing(history)
    assert (shown["told"], shown["description"]) == ("zh · more", "0/200")
    history.add(Answered(2.0, "zh · more", 40, 100, 40, 200, remaining=80.0, metrics={"exact_match": 45.0}))
    bar.standing(history)
    assert shown["told"] == "zh · more  2.00 rows/s  ETA 00:01:20  exact_match 45"
    assert (shown["completed"], shown["total"]) == (40, 200)


def test_a_failure_and_a_kill_are_told_and_resume_goes_on(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "fail")
    failed = evaluate(finetui)
    assert failed.code == 1
    assert "error: the model is gone\nhint: pull it again" in failed.err
    monkeypatch.setenv("FAKE_END", "kill")
    killed = evaluate(finetui, "--output_dir", "mine")
    assert killed.code == 1
    assert "killed" in killed.err
    assert "finetui eval --resume --output_dir NAME" in killed.err
    again = finetui("runs", "resume", "mine")
    assert again.code == 0
    assert "goes on where it was" in again.out.splitlines()
    run = find_run("mine", workspace)
    assert [row.row for row in read_predictions(run.path / "generated_predictions.jsonl")] == [0, 1, 2, 3]
    assert not (run.path / "answers.jsonl").exists()
    assert finetui("runs", "resume", "mine").err == (
        "error: the evaluation mine is finished\nhint: see it: finetui report mine\n"
    )


# --- going on by option -----------------------------------------------------------------------------------------


def test_resume_keeps_the_options_that_answers_depend_on(
    finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "wait")
    evaluate(finetui, "--output_dir", "mine", "--detach", "--max_new_tokens", "9")
    run = find_run("mine", workspace)
    busy = finetui("eval", "--resume", "--output_dir", "mine")
    assert "the run mine is still going on" in busy.err
    stop(run)
    assert wait_ended(run, PATIENCE) == "stopped"
    other = evaluate(finetui, "--resume", "--output_dir", "mine", "--max_new_tokens", "8", "--dtype", "bfloat16")
    assert other.code == 2
    assert other.err.splitlines()[:2] == [
        "error: --dtype: was auto when the evaluation began, and stays so",
        "hint: leave it out, or start another evaluation in another output_dir",
    ]
    assert "--max_new_tokens: was 9 when the evaluation began" in other.err
    more = evaluate(finetui, "--resume", "--output_dir", "mine", "--per_device_eval_batch_size", "2")
    assert more.code == 0
    assert (stored(run)["per_device_eval_batch_size"], stored(run)["max_new_tokens"]) == (2, 9)
    assert read_launch(run).segment == 2
    assert len(read_predictions(run.path / "generated_predictions.jsonl")) == 4
    nothing = finetui("eval", "--resume", "--output_dir", "nowhere")
    assert "error: --resume: there is no evaluation in" in nothing.err


def test_a_failed_one_and_one_with_blanks_in_its_name_say_how_they_go_on(
    finetui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END", "fail")
    failed = evaluate(finetui, "--output_dir", "out/my set")
    assert failed.code == 1
    assert failed.err.splitlines()[-1] == "go on where it was: finetui runs resume 'out/my set'"
    assert finetui("runs", "resume", "out/my set").code == 0


# --- lists ------------------------------------------------------------------------------------------------------


def test_lists_and_facts_know_evaluations(finetui: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_END", "wait")
    evaluate(finetui, "--output_dir", "mine", "--detach")
    run = find_run("mine", workspace)
    while not any(record["name"] == "mine" and record["step"] == 2 for record in listed(finetui)):
        assert is_active(state_of(run))
    row = next(line for line in finetui("runs", "list", "--kind", "eval").out.splitlines() if "mine" in line)
    assert re.split(r"\s{2,}", row.strip())[:7] == ["mine", "eval", "running, 00:00:01", "2/4", "lora", "zh", "more"]
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in finetui("runs", "show", "mine").out.splitlines())
    assert (facts["model"], facts["answers"], facts["rows"]) == ("zh", "2 of 4", "4 answers to make")
    assert finetui("runs", "plot", "mine").err == (
        "error: mine is an evaluation, which has numbers and no curves\nhint: see them: finetui report mine\n"
    )
    assert finetui("runs", "stop", "mine").out == "mine: stopped\n"
    followed = finetui("runs", "follow", "mine")
    assert (followed.code, followed.err) == (1, "go on where it was: finetui runs resume mine\n")
    assert followed.out.splitlines()[-1] == f"stopped after 2 answers; everything is in {run.path}"
    finetui("runs", "rm", "--yes", "mine")
    assert not run.path.exists()


def listed(finetui: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = finetui("runs", "list", "--json").records
    return records


# --- predictions as elsewhere -----------------------------------------------------------------------------------


def test_seed_002s_command_runs_as_it_is_typed(finetui: Any, workspace: Workspace) -> None:
    done = finetui(*PREDICT)
    assert done.code == 0
    out = workspace.root / "outputs" / "sft_predict"
    assert [row.label for row in read_predictions(out / "generated_predictions.jsonl")] == [
        f"answer {number}" for number in range(4)
    ]
    assert {"predict_results.json", "all_results.json", "report.json", "config.yaml"} <= {
        path.name for path in out.iterdir()
    }
    values = stored(RunDirectory(out))
    assert values["adapter_name_or_path"] == (str(workspace.root / "outputs" / "sft_output"),)
    assert (values["max_samples"], values["fp16"], values["per_device_eval_batch_size"]) == (150, False, 1)
    assert done.out.count("warning: fp16") == 1
    assert finetui(*PREDICT).code == 0  # overwrites its own
    strict = finetui(*PREDICT, "--strict")
    assert strict.err.startswith("error: --fp16: there is no device here that computes in that format")
    again = finetui("eval", str(out / "config.yaml"), "--output_dir", "again", "--plan")
    assert "answer     sft_output" in again.out


def test_training_and_predicting_at_once_names_both_commands(finetui: Any) -> None:
    done = finetui("train", "--do_train", "--do_predict", "--dataset", "more")
    assert done.err.splitlines() == [
        "error: --do_predict: stands beside do_train: they are two runs here, and the second needs the first one's "
        "adapter",
        "hint: type finetui train … without do_predict, and when that has ended finetui eval --adapter_name_or_path "
        "OUTPUT_DIR --dataset SET",
    ]


def pairs(workspace: Workspace) -> None:
    """The comparisons `judged`, and the reward model `outputs/rm`."""
    (workspace.data / "judged.jsonl").write_text(json.dumps({"instruction": "Which?", "output": ["this", "that"]}))
    info = workspace.data / "dataset_info.json"
    judged = {"file_name": "judged.jsonl", "ranking": True}
    info.write_text(json.dumps({**json.loads(info.read_text()), "judged": judged}))
    adapter = make_adapter(workspace.root / "outputs" / "rm", "demo")
    make_weights(adapter / VALUE_HEAD, {HEAD_WEIGHT: [1, 576]})


PREDICT_PAIRS = (
    *("train", "--stage", "rm", "--do_predict", "--model_name_or_path", "demo", "--checkpoint_dir", "outputs/rm"),
    *("--template", "default", "--finetuning_type", "lora", "--output_dir", "outputs/rm_predict", "--fp16"),
)


@pytest.mark.parametrize("option", ["--eval_dataset", "--predict_dataset", "--dataset"])
def test_predictions_of_a_reward_model_are_scores_of_pairs(finetui: Any, workspace: Workspace, option: str) -> None:
    pairs(workspace)
    done = finetui(*PREDICT_PAIRS, option, "judged", "--plan", "--json")
    (plan,) = done.records
    assert (plan["subjects"], plan["answers"], plan["config"]["task"]) == (["rm"], 1, "comparisons")
    assert "task: comparisons  # default; stage rm" in finetui(*PREDICT_PAIRS, option, "judged", "--show_config").out
    wrong = finetui(*PREDICT_PAIRS, option, "more", "--plan")
    assert wrong.err.startswith(f"error: {option}: more holds one answer for each question, not two to compare")
    other = finetui(*PREDICT_PAIRS, option, "judged", "--task", "answers")
    assert other.err.startswith("error: --stage: rm scores pairs, task answers does not")


def test_a_reward_model_that_is_trained_scores_its_evaluation_pairs(finetui: Any, workspace: Workspace) -> None:
    pairs(workspace)
    both = ("train", "--stage", "rm", "--do_train", "--do_predict", "--model_name_or_path", "demo")
    saved = finetui(*both, "--dataset", "judged", "--eval_dataset", "judged", "--show_config").out
    assert "do_predict: true  # --do_predict" in saved
    nothing = finetui(*both, "--dataset", "judged", "--plan")
    assert "--do_predict: there are no pairs to score" in nothing.err
    sft = finetui("train", "--model_name_or_path", "demo", "--dataset", "more", "--do_train", "--do_predict")
    assert sft.err.startswith("error: --do_predict: stands beside do_train")


def test_options_of_trainings_are_refused_in_a_prediction(finetui: Any) -> None:
    done = finetui(*PREDICT, "--lora_rank", "8", "--learning_rate", "1", "--max_new_token", "3", "--stage", "dpo")
    told = [line.removeprefix("error: ") for line in done.err.splitlines()]
    assert told == [
        "--lora_rank: is no option here",
        "hint: it is stored with the adapter and read from there; leave it out",
        "--learning_rate: is no option here",
        "hint: nothing is trained here; leave it out",
        "--max_new_token: is no option",
        "hint: did you mean 'max_new_tokens'?",
        "--stage: predictions are made the same way after each training",
        "hint: give sft, or leave it out",
    ]
    evaluates = finetui("eval", "--dataset", "more", "--do_eval", "--predict_with_generate", "false")
    assert "hint: --reference_loss tells loss and perplexity of the reference answers" in evaluates.err
    assert "--predict_with_generate: guesses of next tokens that see the reference are no answers" in evaluates.err
