"""Plans of the stages that learn from pairs and from scores: counted as their loops count, tried as they train."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.config.finetuning import FinetuningOptions
from core.config.load import load
from core.config.training import TRAINING
from core.engine.planning import dry
from core.engine.planning.anatomy import read_anatomy
from core.engine.planning.draft import Draft, draft
from core.engine.planning.dry import dry_step
from core.engine.planning.trainable import trainable_parameters
from core.errors import TrainingError
from core.workspace import Workspace
from tui.plan_text import plan_pairs

SCORE = """
def brief(prompts, answers):
    return [-float(len(answer)) for answer in answers]

def nothing(prompts, answers):
    return [float("nan") for answer in answers]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The ranking set `judged` of 12 pairs, the set `asked` of 10 questions, and functions that score."""
    data = tmp_path / "data"
    data.mkdir()
    pairs = [{"instruction": f"Which {n}?", "input": "", "output": [f"yes {'!' * n}", "no"]} for n in range(12)]
    asked = [{"instruction": f"What is {n}?" + " Say." * n, "output": "It is."} for n in range(10)]
    for name, rows in (("judged", pairs), ("asked", asked)):
        (data / f"{name}.json").write_text(json.dumps(rows))
    catalog = {"judged": {"file_name": "judged.json", "ranking": True}, "asked": {"file_name": "asked.json"}}
    (data / "dataset_info.json").write_text(json.dumps(catalog))
    (tmp_path / "score.py").write_text(SCORE)
    return Workspace(tmp_path)


@pytest.fixture
def planned(workspace: Workspace, model_folder: Callable[[str], Path]) -> Callable[..., Draft]:
    def make(stage: str, **options: Any) -> Draft:
        values: dict[str, Any] = {
            "model_name_or_path": str(model_folder("llama")),
            "stage": stage,
            "dataset": "asked" if stage == "ppo" else "judged",
            "device": "cpu",
            "probe_max_new_tokens": 0,
            **options,
        }
        if stage == "ppo":
            values |= {"reward_model": f"{workspace.root / 'score.py'}:{values.pop('function', 'brief')}"}
            values.setdefault("max_new_tokens", 8)
        return draft(load(TRAINING, values=values), workspace, lambda planning: None)

    return make


@pytest.mark.parametrize("stage", ["rm", "dpo"])
def test_pairs_count_as_one(planned: Callable[..., Draft], stage: str) -> None:
    plan = planned(stage, per_device_train_batch_size=2, gradient_accumulation_steps=2, val_size=2).plan
    assert (plan.stage, plan.report.kind, plan.rows, plan.eval_rows) == (stage, "pairs", 10, 2)
    assert (plan.rows_per_update, plan.micro_batches_per_epoch, plan.updates_per_epoch) == (4, 5, 3)
    told = dict(plan_pairs(plan))
    tokens = f"{plan.report.tokens:,}"
    assert told["pairs"] == (
        f"10 of a better and a worse answer, {tokens} tokens; the longest answer ends at token {plan.report.longest}"
    )
    assert told["evaluated on"] == "2 pairs"
    assert told["steps"].endswith("3 updates an epoch, 5 batches, 4 pairs an update")


def test_the_vocabulary_is_there_for_the_answers_of_pairs_and_never_for_rewards(planned: Callable[..., Draft]) -> None:
    preferring, rewarding = planned("dpo"), planned("rm")
    longest = preferring.updates.longest_batch()
    answers = int(preferring.rows.projected[longest].sum())
    words = read_anatomy(preferring.model.path).vocabulary
    assert preferring.memory.logits == answers * words * 4 * 3
    assert rewarding.memory.logits == 0
    assert rewarding.memory.activations == preferring.memory.activations > 0


def test_steps_of_ppo_take_the_answers_of_all_that_is_drawn_before_it_learns(planned: Callable[..., Draft]) -> None:
    made = planned(
        "ppo",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        ppo_buffer_size=2,
        num_train_epochs=3,
        ppo_epochs=4,
    )
    plan = made.plan
    assert (plan.rows, plan.rows_per_update, plan.updates_per_epoch, plan.total_steps) == (10, 8, 2, 6)
    assert (plan.longest_answer, plan.passes) == (8, 4)
    told = dict(plan_pairs(plan))
    assert told["questions"].endswith(f"the longest has {plan.report.longest}, an answer gets 8 at most")
    assert told["steps"] == "6 in 3 epochs: 8 answers a step, each learnt from 4 times"


def test_memory_of_ppo_holds_answers_a_reference_and_the_draws(planned: Callable[..., Draft]) -> None:
    short = planned("ppo", per_device_train_batch_size=2)
    long = planned("ppo", per_device_train_batch_size=2, max_new_tokens=108)
    anatomy = read_anatomy(short.model.path)
    of_token = (short.memory.activations - long.memory.activations) / -200
    assert short.memory.activations == pytest.approx(of_token * (sum(sorted(short.rows.lengths)[-2:]) + 2 * 8))
    assert short.memory.beside == short.trainable * 4, "the start, as it was"
    drawn = 2 * (int(short.rows.lengths.max()) + 8)
    assert short.memory.rollouts == drawn * anatomy.layers * 2 * anatomy.key * 4
    most = replace(short.memory, rollouts=1 << 40)
    assert most.total == most.checkpointed_total
    assert most.total - short.memory.total == (1 << 40) - short.memory.activations - short.memory.logits


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("stage", ["rm", "dpo", "ppo"])
def test_what_is_promised_to_be_trained_is_trained_in_a_real_step(
    planned: Callable[..., Draft], stage: str, method: str
) -> None:
    made = planned(stage, per_device_train_batch_size=3, finetuning_type=method)
    found = dry_step(made)
    assert found.trainable == made.plan.trainable
    anatomy = read_anatomy(made.model.path)
    bare = trainable_parameters(anatomy, made.settings[FinetuningOptions])
    assert made.plan.trainable - bare == (0 if stage == "dpo" else anatomy.hidden + 1)
    assert found.micro_batch == 3
    assert found.seconds > 0
    assert found.estimated_seconds > found.seconds
    longest = int(sorted(made.rows.lengths)[-3:][0])
    if stage == "ppo":
        assert 3 * longest < found.tokens <= int(sum(sorted(made.rows.lengths)[-3:])) + 3 * 8
    else:
        assert found.tokens == int(sum(sorted(made.rows.lengths)[-3:]))


def test_a_head_that_no_reward_depends_on_is_not_counted(
    planned: Callable[..., Draft], model_folder: Callable[[str], Path]
) -> None:
    folder = str(model_folder("qwen3"))  # its output head is its own
    made = planned("rm", finetuning_type="full", model_name_or_path=folder, per_device_train_batch_size=1)
    assert dry_step(made).trainable == made.plan.trainable < read_anatomy(made.model.path).parameters


def test_the_reference_and_evaluations_are_in_the_estimate(
    planned: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count()  # a second passes between any two looks at it
    monkeypatch.setattr(dry, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    options = {"per_device_train_batch_size": 4, "num_train_epochs": 1}
    sigmoid, simpo = (planned("dpo", pref_loss=loss, **options) for loss in ("sigmoid", "simpo"))
    whole, batch = int(sigmoid.rows.lengths.sum()), dry_step(simpo).tokens
    updates = whole / batch + 3
    assert dry_step(simpo).estimated_seconds == pytest.approx(updates)
    assert dry_step(sigmoid).estimated_seconds == pytest.approx(updates + whole / batch), "each answer once more"
    told = planned("rm", val_size=2, eval_steps=1, **options)
    seconds = 1 / dry_step(told).tokens
    trained = int(told.rows.lengths.sum())
    expected = trained * seconds + 3 + told.eval_tokens * seconds * told.plan.evaluations
    assert dry_step(told).estimated_seconds == pytest.approx(expected)


def test_a_function_that_gives_no_numbers_is_found_out_by_trying(planned: Callable[..., Draft]) -> None:
    with pytest.raises(Exception, match="nothing") as caught:
        dry_step(planned("ppo", function="nothing", per_device_train_batch_size=2))
    assert isinstance(caught.value, TrainingError) or "number" in str(caught.value)
