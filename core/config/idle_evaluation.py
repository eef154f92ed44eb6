"""Options of an evaluation that are given and change nothing beside the others; see `core.config.idle`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.config.evaluation import EVALUATION
from core.errors import Problem
from core.i18n import _

_OF_LOADING = (
    *("model_name_or_path", "template", "dtype", "device", "threads", "trust_remote_code", "allow_pickle"),
    *("finetuning_type", "fp16", "bf16", "per_device_eval_batch_size"),
)
_OF_SERVERS = ("api_key_variable", "api_concurrency", "api_timeout", "api_retries")
_OF_DRAWING = ("top_p", "top_k", "min_p")


def idle_options(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is given and does not count; `Problem.where` is the option's name.

    Args:
        values: of all options of an evaluation.
    """
    given = {name for name, default in _defaults().items() if values[name] != default}
    for where, what, hint in (*_of_servers(values), *_of_answers(values)):
        if where in given:
            yield Problem(where, what, hint)


def _defaults() -> dict[str, Any]:
    return {name: info.default for section in EVALUATION for name, info in section.model_fields.items()}


def _of_servers(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if values["api_base"]:
        for name in _OF_LOADING:
            hint = _("api_concurrency says how many are asked at once") if name.startswith("per_device") else ""
            yield name, _("a served model is loaded by its server"), hint
    else:
        for name in _OF_SERVERS:
            yield name, _("belongs to served models, and there is no api_base"), ""


def _of_answers(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if values["task"] == "choices":
        for name in (*_OF_DRAWING, "temperature", "max_new_tokens", "stop", "repetition_penalty"):
            yield name, _("belongs to written answers, and choices are told by probabilities"), ""
    elif values["task"] == "comparisons":
        for name in (*_OF_DRAWING, "temperature", "max_new_tokens", "stop", "repetition_penalty", "repeats"):
            yield name, _("belongs to written answers, and pairs have theirs"), ""
    elif values["temperature"] == 0 or values["do_sample"] is False:
        for name in _OF_DRAWING:
            yield name, _("greedy answers are not drawn"), _("give a temperature above 0")
    if not values["n_shot"]:
        yield "shot_dataset", _("n_shot is 0"), _("give n_shot")
