"""What stands beside a trained model is looked up before the start: data of the right kind, rewards, references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import core
from core.config.load import load
from core.config.training import TRAINING
from core.errors import ConfigError
from core.launch.machine import Machine
from core.launch.prepare import PreparedTraining, prepare
from core.launch.start import launch_of
from core.models.notes import AdapterNotes, write_notes
from core.models.reward_source import HEAD_WEIGHT, VALUE_HEAD
from core.runs.launch_file import Launch
from core.workspace import Workspace
from folders import make_adapter, make_model, make_weights

ENTRIES = {
    "intro": {"file_name": "intro.jsonl"},
    "pairs": {"file_name": "pairs.jsonl", "ranking": True},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    found.data.mkdir()
    (found.data / "dataset_info.json").write_text(json.dumps(ENTRIES))
    (found.data / "intro.jsonl").write_text('{"instruction": "q", "input": "", "output": "a"}\n')
    (found.data / "pairs.jsonl").write_text('{"instruction": "q", "input": "", "output": ["a", "b"]}\n')
    make_weights(trained(found, "rm", "rm") / VALUE_HEAD, {HEAD_WEIGHT: [1, 576]})
    trained(found, "yui", "sft")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return found


def trained(workspace: Workspace, name: str, stage: str, **notes: Any) -> Path:
    """An adapter as a run left it."""
    folder = make_adapter(workspace.runs / name, "demo")
    known = {"base": "demo", "template": "tokenizer", "source_prefix": "be kind", **notes}
    write_notes(folder, AdapterNotes("lora", stage, **known))
    return folder


def prepared(workspace: Workspace, **options: object) -> PreparedTraining:
    values = {"model_name_or_path": "demo", "dataset": "intro", "source_prefix": "be kind", **options}
    return prepare(load(TRAINING, values=values), workspace, machine=Machine(0))


def told(workspace: Workspace, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        prepared(workspace, **options)
    return [str(problem) for problem in caught.value.problems]


def ppo(workspace: Workspace, **options: object) -> PreparedTraining:
    return prepared(workspace, **{"stage": "ppo", "reward_model": "rm", "checkpoint_dir": "yui", **options})


def test_each_stage_gets_rows_of_its_kind(workspace: Workspace) -> None:
    (problem,) = told(workspace, stage="rm")
    assert problem == (
        "dataset: intro holds one answer for each question, not two to compare "
        '(take stage sft or ppo, or set "ranking": true in dataset_info.json if it does hold two)'
    )
    (problem,) = told(workspace, stage="sft", dataset="pairs")
    assert problem.endswith("(take a set with one answer, or stage rm or dpo, which compare two)")
    for stage in ("rm", "dpo"):
        assert prepared(workspace, stage=stage, dataset="pairs").cautions == ()
    assert told(workspace, stage="dpo", dataset="pairs", eval_dataset="intro")[0].startswith(
        "eval_dataset: intro holds"
    )
    (workspace.data / "pairs.jsonl").write_text('{"instruction": "q", "input": "", "output": ["a"]}\n')
    assert told(workspace, stage="rm", dataset="pairs")[0].startswith("dataset: ")


def test_questions_are_taken_from_sets_of_every_kind(workspace: Workspace) -> None:
    path = workspace.data / "asked.jsonl"
    path.write_text('{"prompt": "Who?", "source": "web"}\n{"prompt": "Why?", "source": "book"}\n')
    for name in ("intro", "pairs", "asked.jsonl"):
        assert ppo(workspace, dataset=name).cautions == ()
    (caution,) = ppo(workspace, dataset="intro,asked.jsonl", eval_dataset="pairs,asked.jsonl").cautions
    assert caution.message == "the data has 1 thing to look at"  # a question that is evaluated too
    (problem,) = told(workspace, dataset="asked.jsonl")
    assert problem == (
        "dataset: asked holds questions without answers "
        "(take a set with answers, name their column as response in dataset_info.json, or take stage ppo)"
    )
    path.write_text('{"prompt": "Who?", "source": "web"}\n{"prompt": "", "source": "web"}\n')
    (problem,) = told(workspace, stage="ppo", reward_model="rm", checkpoint_dir="yui", dataset="asked.jsonl")
    assert "asked.jsonl:2: the question is empty ('prompt')" in problem
    (caution,) = ppo(workspace, dataset="asked.jsonl", on_bad_rows="skip").cautions
    assert caution.message == "the data has 1 thing to look at; 1 row is left out"


def test_a_run_is_named_after_its_stage(workspace: Workspace) -> None:
    assert prepared(workspace, stage="rm", dataset="pairs").run.name == "rm-lora-pairs"
    assert prepared(workspace, stage="dpo", dataset="pairs", finetuning_type="p_tuning").run.name == "dpo-ptuning-pairs"
    found = ppo(workspace)
    assert found.run.name == "ppo-lora-intro"
    assert launch_of(found).stage == "ppo"


def test_what_stands_beside_is_named_for_good(workspace: Workspace) -> None:
    trained(workspace, "other", "sft")
    found = ppo(workspace, ref_model="other")
    assert found.cautions == ()
    values = found.values
    assert values["reward_model"] == str(workspace.runs / "rm")
    assert values["reward_model_type"] == "lora"
    assert values["ref_model"] == str(workspace.runs / "other")
    assert values["adapter_name_or_path"] == (str(workspace.runs / "yui"),)
    assert "reward_model_type: lora  # default; as it looks" in found.config
    Path("again.yaml").write_text(found.config)
    again = prepare(load(TRAINING, file=Path("again.yaml")), workspace, machine=Machine(0))
    assert again.values == values
    Path("rules.py").write_text("def short(prompts, answers): ...\n")
    values = ppo(workspace, reward_model="rules.py:short", ref_model="demo").values
    assert values["reward_model"] == f"{Path.cwd()}/rules.py:short"
    assert (values["reward_model_type"], values["ref_model"]) == ("function", "demo")


def test_a_policy_is_compared_by_its_reward(workspace: Workspace) -> None:
    values = ppo(workspace, val_size=0.5, load_best_model_at_end=True).values
    assert values["metric_for_best_model"] == "reward"
    assert ppo(workspace, val_size=1, metric_for_best_model="kl").values["metric_for_best_model"] == "kl"
    assert ppo(workspace).values["metric_for_best_model"] == "loss"  # nothing is compared
    assert prepared(workspace).values["metric_for_best_model"] == "loss"


def test_everything_wrong_is_told_at_once(workspace: Workspace) -> None:
    problems = told(
        workspace, stage="ppo", reward_model="yui", ref_model="rm", dataset="none", packing=True, lora_dropout=0.1
    )
    assert [problem.partition(": ")[0] for problem in problems] == [
        *("dataset", "reward_model", "ref_model", "packing", "lora_dropout"),
    ]
    assert problems[1].startswith("reward_model: yui is no reward model: it has no value head")
    assert problems[2].startswith("ref_model: rm is a reward model, and writes no answers")
    assert told(workspace, stage="ppo", reward_model="rn")[0].startswith("reward_model: no reward model rn")
    assert told(workspace, stage="ppo", reward_model="rm", reward_model_type="full")[0].startswith(
        "reward_model: rm is an adapter, not full"
    )


def test_answers_leave_room_for_questions(workspace: Workspace) -> None:
    (problem,) = told(
        workspace, stage="ppo", reward_model="rm", checkpoint_dir="yui", cutoff_len=9000, max_new_tokens=8192
    )
    assert problem == "max_new_tokens: leaves no room for questions: the model sees 8192 tokens (lower it)"


def test_the_values_of_a_policy_are_no_rewards(workspace: Workspace) -> None:
    make_weights(trained(workspace, "policy", "ppo") / VALUE_HEAD, {HEAD_WEIGHT: [1, 576]})
    (problem,) = told(workspace, stage="ppo", reward_model="policy")
    assert problem.startswith("reward_model: policy was trained by stage ppo: its value head foretells rewards")


def test_other_stages_do_not_ask_for_models_beside(workspace: Workspace) -> None:
    (caution,) = prepared(workspace, reward_model="nowhere").cautions
    assert caution.message == "reward_model does not count: belongs to stage ppo, and stage is sft"
    (caution,) = prepared(workspace, stage="dpo", pref_loss="orpo", dataset="pairs", ref_model="nowhere").cautions
    assert caution.message == "ref_model does not count: pref_loss orpo is held against no reference"


def test_models_that_were_trained_under_other_prompts_are_told(workspace: Workspace) -> None:
    messages = [caution.message for caution in ppo(workspace, source_prefix="").cautions]
    assert messages == [
        "the reward model rm was trained with another source_prefix than this run has",
        "the adapter yui was trained with another source_prefix than this run has",
    ]
    messages = [caution.message for caution in ppo(workspace, template="default").cautions]
    assert messages == [
        "the reward model rm was trained with another template than this run has",
        "the adapter yui was trained with another template than this run has",
    ]
    (caution,) = ppo(workspace, checkpoint_dir="rm").cautions
    assert caution.message == "the adapter rm is a reward model: it was not trained to answer"
    assert prepared(workspace, source_prefix="", adapter="yui").cautions == ()  # a supervised training teaches its own


def test_a_rate_that_is_high_for_a_policy_is_told(workspace: Workspace) -> None:
    (caution,) = ppo(workspace, learning_rate=2e-3).cautions
    assert caution.message.startswith("learning_rate 0.002 is high for stage ppo: answers may fall apart")
    (caution,) = ppo(workspace, learning_rate=2e-2).cautions
    assert caution.message.startswith("learning_rate 0.02 is high enough to destroy")
    assert caution.hint == "1e-4 worked where 2e-2 did not"
    (caution,) = prepared(workspace, stage="dpo", dataset="pairs", learning_rate=1e-3).cautions
    assert caution.hint == "1e-5 to 1e-4 is usual; watch the distance to the reference"
    assert ppo(workspace, learning_rate=5e-4).cautions == ()
    assert prepared(workspace, learning_rate=2e-3).cautions == ()


def test_python_starts_every_stage_by_the_same_names(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, Launch]] = []
    seam = "core.launch.start.launch_run"
    monkeypatch.setattr(seam, lambda run, config, launch, workspace: started.append((config, launch)))
    options = {"model_name_or_path": "demo", "dataset": "intro", "device": "cpu", "source_prefix": "be kind"}
    run = core.train(
        workspace=workspace.root, stage="ppo", reward_model="rm", checkpoint_dir="yui", target_kl=3.0, **options
    )
    ((config, launch),) = started
    assert (run.name, launch.stage, launch.method) == ("ppo-lora-intro", "ppo", "lora")
    assert "ppo_target: 3  # target_kl" in config
    with pytest.raises(ConfigError, match="ppo needs something that scores answers"):
        core.train(workspace=workspace.root, stage="ppo", **options)


def test_folders_that_a_run_stands_on_are_not_emptied(workspace: Workspace) -> None:
    (workspace.runs / "rm" / "events.jsonl").write_text("")
    (problem,) = told(
        workspace, stage="ppo", reward_model="rm", output_dir="rm", overwrite_output_dir=True, checkpoint_dir="yui"
    )
    assert "holds what this run needs, and overwrite_output_dir would delete it" in problem
