"""The options of a training, as its form has them."""

from __future__ import annotations

from collections.abc import Mapping

from core.config.idle_stages import OF_STAGES
from core.config.sources import TrainingSourceOptions
from core.config.stages import ROW_KINDS, WITHOUT_REFERENCE
from core.config.training import TRAINING
from core.runs.quantities import QUANTITIES
from core.workspace import Workspace
from tui import option_texts
from tui.option_texts import OptionTexts

_METHODS = {
    "lora": ("lora_", "loraplus_", "use_rslora", "use_dora", "additional_target", "create_new_adapter"),
    "p_tuning": ("pre_seq_len", "prefix_projection"),
    "freeze": ("freeze_",),
}


_SUPERVISED = ("packing", "train_on_prompt", "mask_history", "label_smoothing_factor", "neftune_noise_alpha")
"""They change which tokens of a conversation are learnt from, or how: other stages refuse them."""


def relevant(name: str, values: Mapping[str, str]) -> bool:
    """Whether an option means something for the stage and the method that are chosen."""
    method = values.get("finetuning_type") or "lora"
    owners = [owner for owner, starts in _METHODS.items() if name.startswith(starts)]
    of_method = not owners or method in owners or method not in ("full", *_METHODS)
    return of_method and _of_stage(name, values)


def _of_stage(name: str, values: Mapping[str, str]) -> bool:
    stage = values.get("stage") or "sft"
    if stage not in QUANTITIES:  # it is being typed
        return True
    if name in _SUPERVISED:
        return stage == "sft"
    if stage not in OF_STAGES.get(name, (stage,)):
        return False
    loss = values.get("pref_loss") or "sigmoid"
    match name:
        case "ref_model":
            return stage == "ppo" or loss not in WITHOUT_REFERENCE
        case "simpo_gamma":
            return loss == "simpo"
        case "dpo_label_smoothing":
            return loss == "sigmoid"
        case "ppo_target" | "ppo_horizon":
            return values.get("ppo_adaptive_kl", "true").strip() != "false"
        case _:
            return True


TEXTS = OptionTexts(
    command="train",
    sections=TRAINING,
    source=TrainingSourceOptions,
    basic=frozenset(
        (
            *("model_name_or_path", "finetuning_type", "adapter_name_or_path", "lora_rank", "lora_target"),
            *("pre_seq_len", "freeze_trainable_layers", "dataset", "val_size", "cutoff_len", "learning_rate"),
            *("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "lr_scheduler_type"),
            *("output_dir", "logging_steps", "save_steps", "eval_steps", "probe_prompt"),
            *("stage", "pref_loss", "pref_beta", "reward_model", "ref_model", "ppo_kl_coef", "ppo_target"),
            *("ppo_score_norm", "max_new_tokens"),
        )
    ),
    of_a_run=("output_dir", "resume_from_checkpoint", "overwrite_output_dir"),
    relevant=relevant,
    first="stage",
)


def suggested(workspace: Workspace, stage: str) -> dict[str, list[str]]:
    """What there is for options that name something, for a stage."""
    sets = ("dataset", "eval_dataset")
    return option_texts.suggested(workspace, sets, kind=ROW_KINDS[stage])
