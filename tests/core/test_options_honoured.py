"""Every option of a training or an evaluation is honoured, or it is told that it does not count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import core
from core.config.evaluation import EVALUATION, contradictions
from core.config.idle import idle_options
from core.config.idle_evaluation import idle_options as idle_in_evaluations
from core.config.load import load
from core.config.training import TRAINING

# What they ask for is all that there is: any other value is refused, or is the same.
_NOTHING_TO_DO = {"do_train", "ignore_pad_token_for_loss", "report_to", "dataloader_num_workers"}
_OF_EVALUATIONS = ("engine/evaluate.py", "engine/evaluating/", "engine/predicting/", "serve/remote", "launch/", "data/")
_BY_ANOTHER_NAME = {"do_sample": "greedy", "fp16": "number_format", "bf16": "number_format"}


def idle(**options: Any) -> dict[str, str]:
    values = load(TRAINING, values={"dataset": "a", **options}).values()
    return {problem.where: problem.what for problem in idle_options(values)}


def test_every_option_is_asked_for_outside_its_declaration() -> None:
    root = Path(core.__file__).parent
    sources = [path for path in root.rglob("*.py") if path.parent.name != "config"]
    read = "\n".join(path.read_text() for path in sources)
    names = [name for section in TRAINING for name in section.model_fields]
    unread = {name for name in names if not re.search(rf"""\.{name}\b|["']{name}["']\]""", read)}
    assert unread <= _NOTHING_TO_DO
    assert len(names) > 80


def test_every_option_of_an_evaluation_is_asked_for_where_one_is_made() -> None:
    root = Path(core.__file__).parent
    sources = [path for path in root.rglob("*.py") if path.relative_to(root).as_posix().startswith(_OF_EVALUATIONS)]
    read = "\n".join(path.read_text() for path in sources)
    names = [_BY_ANOTHER_NAME.get(name, name) for section in EVALUATION for name in section.model_fields]
    assert [name for name in names if not re.search(rf"""\.{name}\b|["']{name}["']\]""", read)] == []
    assert len(names) > 45


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {}),
        ({"lora_rank": 4, "lora_alpha": 3, "loraplus_lr_ratio": 2, "loraplus_lr_embedding": 1e-5}, {}),
        ({"loraplus_lr_embedding": 1e-5}, {"loraplus_lr_embedding": "counts with loraplus_lr_ratio only"}),
        ({"pre_seq_len": 4}, {"pre_seq_len": "belongs to p_tuning, and finetuning_type is lora"}),
        (
            {"finetuning_type": "p_tuning", "pre_seq_len": 4, "lora_dropout": 0.1},
            {"lora_dropout": "belongs to lora, and finetuning_type is p_tuning"},
        ),
        (
            {"finetuning_type": "full", "num_layer_trainable": 3},
            {"freeze_trainable_layers": "belongs to freeze, and finetuning_type is full"},
        ),
        ({"finetuning_type": "freeze", "num_layer_trainable": 3, "dtype": "float32"}, {}),
        ({"create_new_adapter": True}, {"create_new_adapter": "there is no adapter to merge before"}),
        ({"optim": "sgd", "adam_beta2": 0.9}, {"adam_beta2": "sgd has no such number"}),
        ({"optim": "adamw_8bit", "adam_beta2": 0.9}, {}),
        (
            {"lr_scheduler_type": "constant", "warmup_ratio": 0.1},
            {"warmup_ratio": "the schedule constant has no warm-up"},
        ),
        ({"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 3}, {}),
        ({"mix_strategy": "interleave_over"}, {"mix_strategy": "there is one data set"}),
        ({"per_device_eval_batch_size": 1}, {"per_device_eval_batch_size": "there are no rows to evaluate on"}),
        ({"per_device_eval_batch_size": 1, "val_size": 2}, {}),
        (
            {"early_stopping_threshold": 0.1, "val_size": 2},
            {"early_stopping_threshold": "counts with early_stopping_steps only"},
        ),
        ({"probe_prompt": ["?"], "probe_max_new_tokens": 0}, {"probe_prompt": "probe_max_new_tokens 0 asks no probes"}),
        ({"report_to": "all"}, {"report_to": "nothing is sent anywhere"}),
        (
            {"finetuning_type": "full", "dtype": "bfloat16"},
            {"dtype": "full trains every weight, and what is trained is held in float32, or small steps would be lost"},
        ),
        (
            {"finetuning_type": "freeze", "dtype": "bfloat16"},
            {"dtype": "freeze holds all weights in float32, as those that it trains"},
        ),
        ({"finetuning_type": "full", "dtype": "bfloat16", "pure_bf16": True}, {}),
        ({"dtype": "float16", "pure_bf16": True}, {"dtype": "pure_bf16 holds all weights in bfloat16"}),
        ({"dtype": "bfloat16"}, {}),
        ({"ppo_epochs": 2}, {"ppo_epochs": "belongs to stage ppo, and stage is sft"}),
        ({"temperature": 0.5, "max_new_tokens": 9, "stage": "ppo"}, {}),
        (
            {"temperature": 0.5, "ref_model": "x", "pref_beta": 0.2},
            {
                "temperature": "belongs to stage ppo, and stage is sft",
                "ref_model": "belongs to stage dpo and ppo, and stage is sft",
                "pref_beta": "belongs to stage dpo, and stage is sft",
            },
        ),
        ({"stage": "dpo", "ref_model": "x", "pref_beta": 0.2, "pref_ftx": 1}, {}),
        (
            {"stage": "dpo", "pref_loss": "orpo", "ref_model": "x", "simpo_gamma": 1},
            {
                "ref_model": "pref_loss orpo is held against no reference",
                "simpo_gamma": "belongs to pref_loss simpo, not to orpo",
            },
        ),
        ({"stage": "dpo", "pref_loss": "simpo", "simpo_gamma": 1}, {}),
        (
            {"stage": "rm", "reward_model": "x", "mask_history": True},
            {
                "reward_model": "belongs to stage ppo, and stage is rm",
                "mask_history": "the last answer alone is compared",
            },
        ),
        (
            {"stage": "ppo", "ppo_adaptive_kl": False, "ppo_target": 3, "ppo_horizon": 9},
            dict.fromkeys(("ppo_target", "ppo_horizon"), "ppo_adaptive_kl is false, so ppo_kl_coef stays as it is"),
        ),
        ({"stage": "ppo", "ppo_kl_coef": 0, "ppo_target": 3}, {"ppo_target": "ppo_kl_coef 0 stays 0"}),
        (
            {"stage": "ppo", "ppo_value_coef": 0, "ppo_value_learning_rate": 1e-4},
            {"ppo_value_learning_rate": "ppo_value_coef 0 trains no values"},
        ),
        (
            {"stage": "ppo", "max_target_length": 9, "max_new_tokens": 9},
            {"max_target_length": "max_new_tokens says how long answers may be"},
        ),
        ({"stage": "ppo", "max_target_length": 9}, {}),
    ],
)
def test_what_is_given_and_does_not_count_is_told(options: dict[str, Any], told: dict[str, str]) -> None:
    assert idle(**options) == told


SERVED = {"api_base": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {}),
        ({"top_p": 0.5, "temperature": 1}, {}),
        ({"top_p": 0.5}, {"top_p": "greedy answers are not drawn"}),
        ({"top_k": 3, "temperature": 1, "do_sample": False}, {"top_k": "greedy answers are not drawn"}),
        ({"api_retries": 0}, {"api_retries": "belongs to served models, and there is no api_base"}),
        ({"api_retries": 0, **SERVED}, {}),
        ({"device": "cuda", **SERVED}, {"device": "a served model is loaded by its server"}),
        ({"shot_dataset": "b"}, {"shot_dataset": "n_shot is 0"}),
        ({"shot_dataset": "b", "n_shot": 1, "task": "choices"}, {}),
        (
            {"max_new_tokens": 9, "task": "choices"},
            {"max_new_tokens": "belongs to written answers, and choices are told by probabilities"},
        ),
    ],
)
def test_what_does_not_count_in_an_evaluation_is_told(options: dict[str, Any], told: dict[str, str]) -> None:
    values = load(EVALUATION, values={"dataset": "a", **options}).values()
    assert {problem.where: problem.what for problem in idle_in_evaluations(values)} == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": "bleu-4"}, []),
        ({"metrics": "perplexity,loss"}, ["metrics: loss needs a second pass, over the reference answers"]),
        ({"metrics": "perplexity", "reference_loss": True}, []),
        ({"metrics": "reward"}, ["metrics: reward needs a reward model"]),
        ({"include_base": True, **SERVED}, ["include_base: a served model cannot be asked for that"]),
        ({"task": "choices", **SERVED}, ["task: choices are told by probabilities, which the server does not give"]),
    ],
)
def test_options_that_cannot_stand_together_are_refused(options: dict[str, Any], told: list[str]) -> None:
    values = load(EVALUATION, values={"dataset": "a", **options}).values()
    assert [f"{problem.where}: {problem.what}" for problem in contradictions(values)] == told
