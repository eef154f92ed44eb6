"""What the stages of a training ask of the other options, beyond what any training does.

A stage that learns from pairs or from scores puts loss on answers alone, one row at a time, and compares probabilities
that the model gives at different moments: options that would change these in secret are refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from core.errors import Problem
from core.i18n import _

RowKind: TypeAlias = Literal["answers", "pairs", "prompts"]
"""answers: a conversation that is learnt from. pairs: two of them, with the better one named. prompts: a question."""
ROW_KINDS: Mapping[str, RowKind] = {"sft": "answers", "rm": "pairs", "dpo": "pairs", "ppo": "prompts"}
"""What the stages' rows are."""
WITHOUT_REFERENCE = ("orpo", "simpo")
"""Losses of stage dpo that are held against no reference."""
_OF_SUPERVISED = ("loss", "perplexity", "accuracy")
_OF_REWARDS = ("loss", "accuracy", "margin", "chosen_reward", "rejected_reward")
METRICS: Mapping[str, tuple[str, ...]] = {
    "sft": _OF_SUPERVISED,
    "rm": _OF_REWARDS,
    "dpo": (*_OF_REWARDS, "chosen_logp", "rejected_logp"),
    "ppo": ("reward", "kl", "answer_tokens", "eos_rate"),
}
"""What evaluations tell in each stage, `loss` or its like first: what they are compared by."""


def contradictions(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What stands against a stage; `Problem.where` is an option's name."""
    if values["stage"] == "sft":
        return
    yield from _of_rows(values)
    yield from _of_the_model(values)
    if values["stage"] == "dpo":
        yield from _of_preferences(values)
    if values["stage"] == "ppo":
        yield from _of_answers(values)
    yield from _of_metrics(values)


def _of_rows(values: Mapping[str, Any]) -> Iterator[Problem]:
    stage = values["stage"]
    if values["packing"]:
        what = _("stage {stage} takes each row by itself").format(stage=stage)
        yield Problem("packing", what, _("leave it out: rows of similar length are put together anyway"))
    if values["train_on_prompt"]:
        what = _("stage {stage} learns from answers alone").format(stage=stage)
        yield Problem("train_on_prompt", what, _("leave it out"))
    if values["label_smoothing_factor"]:
        what = _("belongs to the loss of stage sft").format(stage=stage)
        hint = _("give dpo_label_smoothing") if stage == "dpo" else _("leave it out")
        yield Problem("label_smoothing_factor", what, hint)


def _of_the_model(values: Mapping[str, Any]) -> Iterator[Problem]:
    stage = values["stage"]
    if values["neftune_noise_alpha"]:
        what = _("stage {stage} compares what the model says of answers, which noise would change").format(stage=stage)
        yield Problem("neftune_noise_alpha", what, _("leave it out"))
    if stage == "rm" and values["finetuning_type"] == "p_tuning":
        what = _("a reward model is an adapter of LoRA's kind or a whole model, p_tuning makes neither")
        yield Problem("finetuning_type", what, _("take lora, freeze or full"))
    if stage == "ppo" and values["lora_dropout"]:
        what = _("dropout would make an answer's probability another one than when it was drawn")
        yield Problem("lora_dropout", what, _("leave it out, or give 0; adapters that had it can be trained further"))


def _of_preferences(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values["dpo_label_smoothing"] and values["pref_loss"] != "sigmoid":
        what = _("belongs to pref_loss sigmoid, not to {loss}").format(loss=values["pref_loss"])
        yield Problem("dpo_label_smoothing", what, _("leave it out"))


def _of_answers(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values["reward_model"] is None:
        hint = _("name a run of stage rm, a function as FILE.py:NAME, or a server's address")
        yield Problem("reward_model", _("ppo needs something that scores answers"), hint)
    option, longest = longest_drawn(values)
    if longest >= values["cutoff_len"]:
        what = _("leaves no room for questions in cutoff_len {cutoff}").format(cutoff=values["cutoff_len"])
        yield Problem(option, what, _("lower it, or raise cutoff_len"))


def longest_drawn(values: Mapping[str, Any]) -> tuple[str, int]:
    """The option that says how long a drawn answer may be, and what it says; 0 where neither is given."""
    option = "max_target_length" if values["max_new_tokens"] is None else "max_new_tokens"
    return option, values[option] or 0


def _of_metrics(values: Mapping[str, Any]) -> Iterator[Problem]:
    """A metric that is not told in this stage; the default, loss, means the stage's own first one."""
    metric, stage = values["metric_for_best_model"].removeprefix("eval_"), values["stage"]
    known = METRICS[stage]
    compares = values["load_best_model_at_end"] or values["early_stopping_steps"]
    if compares and metric != "loss" and not metric.endswith(known):
        what = _("evaluations of stage {stage} tell no {name}").format(stage=stage, name=metric)
        yield Problem("metric_for_best_model", what, _("there are: {names}").format(names=", ".join(known)))
