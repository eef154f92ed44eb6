"""Options that are given and change nothing beside the others: not wrong, but whoever gave them should hear so.

Files of other tools name every option, and a command is often another one with a word changed: so this is told, not
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.config.idle_stages import idle_in_stage
from core.config.training import TRAINING
from core.errors import Problem
from core.i18n import _

_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "loraplus_lr_embedding")
_PREFIX = ("pre_seq_len", "prefix_projection")
_FREEZE = ("freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules")
_OF_METHODS = {"lora": _LORA, "p_tuning": _PREFIX, "freeze": _FREEZE}
_ADAM = ("adam_beta1", "adam_beta2", "adam_epsilon")
_EVALUATION = ("per_device_eval_batch_size", "metric_for_best_model", "greater_is_better")


def idle_options(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is given and does not count; `Problem.where` is the option's name.

    Args:
        values: of all options of a training.
    """
    given = {name for name, default in _defaults().items() if values[name] != default}
    told = (*idle_in_stage(values), *_of_method(values), *_of_moving(values), *_of_rows(values), *_of_output(values))
    for where, what, hint in told:
        if where in given:
            yield Problem(where, what, hint)


def _defaults() -> dict[str, Any]:
    return {name: info.default for section in TRAINING for name, info in section.model_fields.items()}


def _of_method(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    method = values["finetuning_type"]
    for owner, names in _OF_METHODS.items():
        for name in names if owner != method else ():
            yield name, _("belongs to {owner}, and finetuning_type is {method}").format(owner=owner, method=method), ""
    if method == "lora" and values["loraplus_lr_ratio"] is None:
        yield "loraplus_lr_embedding", _("counts with loraplus_lr_ratio only"), ""
    if not values["adapter_name_or_path"]:
        yield "create_new_adapter", _("there is no adapter to merge before"), _("name it with adapter_name_or_path")
    yield from _of_dtype(values, method)


def _of_dtype(values: Mapping[str, Any], method: str) -> Iterator[tuple[str, str, str]]:
    """`core.engine.tuning.base.weights_dtype` decides what weights are held in."""
    dtype = values["dtype"]
    if values["pure_bf16"]:
        if dtype != "bfloat16":
            yield "dtype", _("pure_bf16 holds all weights in bfloat16"), _("leave one of the two out")
    elif method == "full" and dtype != "float32":
        what = _("full trains every weight, and what is trained is held in float32, or small steps would be lost")
        yield "dtype", what, _("pure_bf16 holds all in bfloat16, bf16 computes in it")
    elif method == "freeze" and dtype != "float32" and not values["bf16"]:
        what = _("freeze holds all weights in float32, as those that it trains")
        yield "dtype", what, _("pure_bf16 holds all in bfloat16, bf16 computes in it")


def _of_moving(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if not values["optim"].startswith("adamw"):
        for name in _ADAM:
            yield name, _("{optim} has no such number").format(optim=values["optim"]), ""
    if values["lr_scheduler_type"] == "constant":
        for name in ("warmup_steps", "warmup_ratio"):
            yield name, _("the schedule constant has no warm-up"), _("take constant_with_warmup")


def _of_rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if len(values["dataset"]) < 2:
        for name in ("mix_strategy", "interleave_probs"):
            yield name, _("there is one data set"), ""


def _of_output(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if not (values["val_size"] or values["eval_dataset"]):
        for name in _EVALUATION:
            yield name, _("there are no rows to evaluate on"), _("give val_size or eval_dataset")
    if not values["early_stopping_steps"]:
        yield "early_stopping_threshold", _("counts with early_stopping_steps only"), ""
    if values["probe_max_new_tokens"] == 0:
        yield "probe_prompt", _("probe_max_new_tokens 0 asks no probes"), ""
    if values["report_to"] == "all":
        yield (
            "report_to",
            _("nothing is sent anywhere"),
            _("trainer_log.jsonl has every point"),
        )
