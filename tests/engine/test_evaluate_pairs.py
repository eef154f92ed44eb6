"""Reward models asked which of two answers is better: scores, tables, what is refused, stops."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers
from evaluation_runs import Evaluated, evaluate_here
from preference_runs import SMALL_PAIRS, make_pair_workspace, predictions
from safetensors.torch import load_file

from core.engine.control import Control
from core.engine.evaluating import conduct
from core.engine.fused import FusedModel, Step
from core.report.compare import compare
from core.report.filters import filter_rows
from core.report.order import ordered
from core.report.rows import open_report
from core.runs.events import Evaluation
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tiny_models import make_classifier, reference_model
from training_runs import Trained, train_here


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_pair_workspace(tmp_path_factory.mktemp("workspace"), count=40)


@pytest.fixture(scope="module")
def trained(workspace: Workspace) -> Trained:
    options: dict[str, Any] = {**SMALL_PAIRS, "stage": "rm", "max_steps": 12, "eval_dataset": ("judged",)}
    return train_here(workspace, "rm", **options, save_strategy="steps", save_steps=4)


def scored(workspace: Workspace, name: str, *models: str, **options: Any) -> Evaluated:
    return evaluate_here(workspace, name, adapter_name_or_path=models, dataset=("judged",), **options)


def test_scores_are_those_of_the_training_and_so_are_the_numbers(workspace: Workspace, trained: Trained) -> None:
    found = scored(workspace, "again", "rm")
    rows = found.rows()
    assert [(row.chosen, row.rejected) for row in rows] == [
        pytest.approx(pair, abs=2e-5) for pair in predictions(trained)
    ]
    last = trained.all(Evaluation)[-1].metrics
    numbers = found.numbers()
    assert list(numbers) == ["accuracy", "margin", "pair_loss", "chosen_reward", "rejected_reward"]
    assert numbers["accuracy"] == pytest.approx(100 * last["accuracy"])
    assert numbers["margin"] == pytest.approx(last["margin"], abs=2e-5)
    assert numbers["pair_loss"] == pytest.approx(last["loss"], abs=2e-5)
    margin = found.report().values["margin"]
    assert margin.low is not None
    assert margin.high is not None
    assert margin.low < margin.value < margin.high
    assert (found.report().subject.name, found.report().subject.adapter, found.report().answered) == ("rm", "rm", 20)


def test_what_the_factory_writes_is_written(workspace: Workspace, trained: Trained) -> None:
    found = scored(workspace, "files", "rm", per_device_eval_batch_size=3)
    lines = (found.folder() / "generated_predictions.jsonl").read_text().splitlines()
    assert [list(json.loads(line))[:2] for line in lines] == [["chosen", "rejected"]] * 20
    results = json.loads((found.folder() / "predict_results.json").read_bytes())
    numbers = found.numbers()
    assert results["predict_accuracy"] == pytest.approx(numbers["accuracy"] / 100)
    assert results["predict_loss"] == pytest.approx(numbers["pair_loss"])
    assert results["predict_margin"] == pytest.approx(numbers["margin"])
    assert {"predict_runtime", "predict_samples_per_second", "predict_steps_per_second"} <= results.keys()
    every = json.loads((found.folder() / "all_results.json").read_bytes())
    assert every == results


def test_a_row_is_its_question_and_both_answers(workspace: Workspace, trained: Trained) -> None:
    row = scored(workspace, "rows", "rm").rows()[0]
    better, worse = json.loads((workspace.data / "judged.json").read_text())[0]["output"]
    assert (row.label, row.worse) == (better, worse)
    assert row.predict == (better if (row.chosen or 0) > (row.rejected or 0) else worse)
    assert row.prompt.endswith("Question 0?<|im_end|>\n<|im_start|>assistant\n")
    assert row.id == "judged.json:1:1"


def test_checkpoints_and_a_classification_model_stand_beside_one_another(
    workspace: Workspace, trained: Trained
) -> None:
    folder = make_classifier(workspace.models / "classifier", 1)
    found = scored(workspace, "three", "rm@4", "rm", "classifier")
    assert [found.report(part).subject.name for part in range(3)] == ["rm@4", "rm", "classifier"]
    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for row in found.rows(2)[:3]:
        ids = tokenizer(f"{row.prompt}{row.label}<|im_end|>", add_special_tokens=False).input_ids
        with torch.inference_mode():
            score = model.score(model.model(torch.tensor([ids])).last_hidden_state[0, -1]).item()
        assert row.chosen == pytest.approx(score, abs=1e-5)
    first, last = (open_report(found.folder(part)) for part in range(2))
    compared = compare([first, last])
    assert list(compared.values) == ["accuracy", "margin", "pair_loss", "chosen_reward", "rejected_reward"]
    (against,) = compared.against
    assert against.deltas["margin"].low is not None
    assert against.mcnemar is not None
    wrong = sum(not row.is_right for row in first.predictions)
    better = sum(
        now.is_right and not was.is_right for was, now in zip(first.predictions, last.predictions, strict=True)
    )
    assert against.mcnemar.only_other == better
    assert len(filter_rows(first, "wrong")) == wrong
    order = ordered(first, range(len(first)))
    margins = [(row.chosen or 0) - (row.rejected or 0) for row in (first.predictions[at] for at in order)]
    assert margins == sorted(margins)


def test_what_both_answers_begin_with_is_read_once_and_scores_the_same(
    workspace: Workspace, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    hidden = FusedModel.hidden

    def counted(self: FusedModel, step: Step) -> torch.Tensor:
        read.append(len(step.ids))
        return hidden(self, step)

    monkeypatch.setattr(FusedModel, "hidden", counted)
    rows = scored(workspace, "shared", "rm").rows()
    model = reference_model(workspace.models / "tiny", trained.run.path)
    head = load_file(trained.run.path / "value_head.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained(workspace.models / "tiny")
    answers = tokenizer([f"{text}<|im_end|>" for row in rows for text in (row.label, row.worse)]).input_ids
    assert sum(read) <= sum(row.prompt_tokens for row in rows) + sum(map(len, answers))
    for row in rows[:4]:
        for text, score in ((row.label, row.chosen), (row.worse, row.rejected)):
            ids = tokenizer(f"{row.prompt}{text}<|im_end|>", add_special_tokens=False).input_ids
            with torch.inference_mode():
                state = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
            found = state @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"][0]
            assert score == pytest.approx(found.item(), rel=1e-4, abs=1e-4)


def test_stopped_it_keeps_what_is_scored_and_goes_on(
    workspace: Workspace, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(workspace.runs / "halted")
    control = Control(run)
    replies: list[int] = []
    monkeypatch.setattr(conduct, "_SECONDS_BETWEEN_LOOKS", 0.0)
    tell = conduct.Conduct._keep

    def wished(self: Any, sheet: Any, answer: Any) -> None:
        replies.append(answer.row)
        tell(self, sheet, answer)
        run.wish("stop")

    with monkeypatch.context() as patch:
        patch.setattr(conduct.Conduct, "_keep", wished)
        stopped = scored(workspace, "halted", "rm", control=control)
    assert len(stopped.rows()) == len(replies) == 1
    assert not stopped.report().complete
    whole = evaluate_here(workspace, "halted", resume=True)
    assert len(whole.rows()) == 20
    assert whole.report().complete


def test_long_questions_lose_old_turns_and_answers_that_are_too_long_have_an_error(
    workspace: Workspace, trained: Trained
) -> None:
    long = [["x" * 300, "y" * 200], ["Hello?", "Hello."]]
    rows = [
        {"instruction": "Short?", "input": "", "output": ["glad", "no"], "history": long},
        {"instruction": "Long?", "input": "", "output": ["glad" * 200, "no"], "history": []},
    ]
    (workspace.data / "long.json").write_text(json.dumps(rows))
    info = workspace.data / "dataset_info.json"
    entries = json.loads(info.read_text())
    info.write_text(json.dumps({**entries, "long": {**entries["judged"], "file_name": "long.json"}}))
    found = evaluate_here(workspace, "long", adapter_name_or_path=("rm",), dataset=("long",))
    short, failed = found.rows()
    assert (short.dropped_turns, short.error) == (1, "")
    assert "xxx" not in short.prompt
    assert "Hello?" in short.prompt
    assert failed.error.startswith("the question with its longer answer takes")
    assert failed.chosen is None
    assert (found.report().answered, found.report().failed) == (1, 1)
    assert "1 prompt was too long, and lost its oldest turns" in found.report().notes


def test_questions_of_pairs_that_were_trained_on_are_counted(workspace: Workspace, trained: Trained) -> None:
    found = evaluate_here(workspace, "leak", adapter_name_or_path=("rm",), dataset=("pairs", "judged"))
    assert [found.report(part).data.seen_in_training for part in range(2)] == [40, 20]


def test_what_cannot_be_compared_is_refused(workspace: Workspace, trained: Trained) -> None:
    def error(**options: Any) -> str:
        return evaluate_here(workspace, "no", **options).failed().error

    assert "tiny is no reward model: it has no value head" in error(dataset=("judged",))
    assert "judged has two answers to each question, asked has one" in error(
        adapter_name_or_path=("rm",), dataset=("judged", "asked")
    )
    assert "asked holds one answer for each question" in error(
        adapter_name_or_path=("rm",), dataset=("asked",), task="comparisons"
    )
