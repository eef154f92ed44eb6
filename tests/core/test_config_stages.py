"""What stands between a stage and the other options, each told with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.load import load
from core.config.stages import METRICS
from core.config.training import TRAINING, contradictions
from core.runs.quantities import QUANTITIES


def told(**options: Any) -> list[str]:
    values = load(TRAINING, values={"dataset": "a", **options}).values()
    return [f"{problem.where}: {problem.what}" for problem in contradictions(values)]


@pytest.mark.parametrize("stage", ["rm", "dpo", "ppo"])
def test_options_that_would_change_what_is_compared_are_refused_all_at_once(stage: str) -> None:
    more = {"reward_model": "rm"} if stage == "ppo" else {}
    wrong = {"packing": True, "train_on_prompt": True, "neftune_noise_alpha": 5, "label_smoothing_factor": 0.1}
    assert told(stage=stage, **more) == []
    assert told(stage=stage, **wrong, **more) == [
        f"packing: stage {stage} takes each row by itself",
        f"train_on_prompt: stage {stage} learns from answers alone",
        "label_smoothing_factor: belongs to the loss of stage sft",
        f"neftune_noise_alpha: stage {stage} compares what the model says of answers, which noise would change",
    ]
    assert told(**wrong) == []


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"stage": "ppo"}, ["reward_model: ppo needs something that scores answers"]),
        (
            {"stage": "ppo", "reward_model": "rm", "lora_dropout": 0.1},
            ["lora_dropout: dropout would make an answer's probability another one than when it was drawn"],
        ),
        ({"stage": "dpo", "lora_dropout": 0.1}, []),
        (
            {"stage": "ppo", "reward_model": "rm", "max_new_tokens": 64, "cutoff_len": 64},
            ["max_new_tokens: leaves no room for questions in cutoff_len 64"],
        ),
        (
            {"stage": "ppo", "reward_model": "rm", "max_target_length": 64, "cutoff_len": 64},
            ["max_target_length: leaves no room for questions in cutoff_len 64"],
        ),
        ({"stage": "ppo", "reward_model": "rm", "max_new_tokens": 8, "max_target_length": 64, "cutoff_len": 64}, []),
        (
            {"stage": "rm", "finetuning_type": "p_tuning"},
            [
                "finetuning_type: a reward model is an adapter of LoRA's kind or a whole model, p_tuning makes neither",
            ],
        ),
        ({"stage": "rm", "finetuning_type": "freeze"}, []),
        ({"stage": "dpo", "finetuning_type": "p_tuning"}, []),
        (
            {"stage": "dpo", "pref_loss": "ipo", "dpo_label_smoothing": 0.1},
            ["dpo_label_smoothing: belongs to pref_loss sigmoid, not to ipo"],
        ),
        ({"stage": "dpo", "dpo_label_smoothing": 0.1}, []),
        ({"stage": "rm", "val_size": 2, "load_best_model_at_end": True, "metric_for_best_model": "eval_margin"}, []),
        (
            {"stage": "rm", "val_size": 2, "early_stopping_steps": 2, "metric_for_best_model": "perplexity"},
            ["metric_for_best_model: evaluations of stage rm tell no perplexity"],
        ),
        (
            {
                "stage": "ppo",
                "reward_model": "rm",
                "val_size": 2,
                "load_best_model_at_end": True,
                "metric_for_best_model": "accuracy",
            },
            ["metric_for_best_model: evaluations of stage ppo tell no accuracy"],
        ),
    ],
)
def test_a_stage_refuses_what_it_cannot_do(options: dict[str, Any], problems: list[str]) -> None:
    assert told(**options) == problems


def test_what_evaluations_tell_are_quantities_of_their_stage() -> None:
    for stage, quantities in QUANTITIES.items():
        names = {quantity.name for quantity in quantities}
        own = set(METRICS[stage]) - {"loss", "perplexity"}
        assert own <= names | ({"accuracy"} if stage == "sft" else set())
