"""Options that are given and change nothing in a stage; see `core.config.idle`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from core.config.ppo import PPOOptions
from core.config.preference import PreferenceOptions
from core.config.stages import WITHOUT_REFERENCE
from core.i18n import _

Idle: TypeAlias = tuple[str, str, str]
"""The option, why it does not count, and what to do."""

OF_STAGES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PreferenceOptions.model_fields, ("dpo",)),
    **dict.fromkeys(PPOOptions.model_fields, ("ppo",)),
    "ref_model": ("dpo", "ppo"),
}
"""Options that count in these stages alone."""


def idle_in_stage(values: Mapping[str, Any]) -> Iterator[Idle]:
    """What would count in another stage, or with other options of this one."""
    stage = values["stage"]
    for name, stages in OF_STAGES.items():
        if stage not in stages:
            told = _("belongs to stage {stages}, and stage is {stage}")
            yield name, told.format(stages=_(" and ").join(stages), stage=stage), ""
    if stage != "sft":
        what = _("the last answer alone is compared") if stage != "ppo" else _("answers are drawn anew")
        yield "mask_history", what, ""
    if stage == "dpo":
        yield from _of_preferences(values["pref_loss"])
    elif stage == "ppo":
        yield from _of_distance(values)
        yield from _of_values(values)
        if values["max_new_tokens"] is not None:
            yield "max_target_length", _("max_new_tokens says how long answers may be"), _("leave one of the two out")


def _of_preferences(loss: str) -> Iterator[Idle]:
    if loss in WITHOUT_REFERENCE:
        yield "ref_model", _("pref_loss {loss} is held against no reference").format(loss=loss), ""
    if loss != "simpo":
        yield "simpo_gamma", _("belongs to pref_loss simpo, not to {loss}").format(loss=loss), ""


def _of_distance(values: Mapping[str, Any]) -> Iterator[Idle]:
    """What adapts the price of distance, where nothing does."""
    if values["ppo_kl_coef"] == 0:
        for name in ("ppo_target", "ppo_horizon"):
            yield name, _("ppo_kl_coef 0 stays 0"), _("give ppo_kl_coef above 0")
    elif not values["ppo_adaptive_kl"]:
        for name in ("ppo_target", "ppo_horizon"):
            yield name, _("ppo_adaptive_kl is false, so ppo_kl_coef stays as it is"), ""


def _of_values(values: Mapping[str, Any]) -> Iterator[Idle]:
    if values["ppo_value_coef"] == 0:
        for name in ("ppo_clip_range_value", "ppo_value_learning_rate"):
            yield name, _("ppo_value_coef 0 trains no values"), ""
