"""All sections of a training, in the order of forms, files and help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.config.data import DataOptions
from core.config.fields import Section
from core.config.finetuning import FinetuningOptions
from core.config.foreign import PREDICTS
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions, OutputOptions
from core.config.ppo import PPOOptions
from core.config.preference import PreferenceOptions
from core.config.stages import contradictions as contradictions_of_stage
from core.errors import Problem
from core.i18n import _

TRAINING: tuple[type[Section], ...] = (
    BaseModelOptions,
    FinetuningOptions,
    PreferenceOptions,
    PPOOptions,
    DataOptions,
    OptimizationOptions,
    OutputOptions,
    LaunchOptions,
)


def contradictions(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong between options of different sections that are each right; `Problem.where` is an option's name."""
    yield from contradictions_of_stage(values)
    if values["packing"] and values["finetuning_type"] == "p_tuning" and values["stage"] == "sft":
        what = _("joined rows would share one prefix and see each other")
        yield Problem("packing", what, _("leave it out: rows of similar length are put together anyway"))
    evaluates = bool(values["eval_dataset"] or values["val_size"])
    for name in ("load_best_model_at_end", "early_stopping_steps"):
        if values[name] and not evaluates:
            yield Problem(name, _("needs rows to evaluate on"), _("give val_size or eval_dataset"))
    if values["eval_strategy"] in ("steps", "epoch") and not evaluates:
        yield Problem("eval_strategy", _("there are no rows to evaluate on"), _("give val_size or eval_dataset"))
    if values["do_predict"] and values["stage"] != "rm":
        yield Problem("do_predict", _("stage {stage} scores nothing").format(stage=values["stage"]), _(PREDICTS))
    elif values["do_predict"] and not evaluates:
        yield Problem("do_predict", _("there are no pairs to score"), _("give val_size or eval_dataset"))
    if values["resume_from_checkpoint"] and values["output_dir"] is None:
        yield Problem("resume_from_checkpoint", _("of which run?"), _("name it with output_dir"))
    if values["resume_from_checkpoint"] and values["overwrite_output_dir"]:
        what = _("would be deleted by overwrite_output_dir")
        yield Problem("resume_from_checkpoint", what, _("leave one of the two out"))
