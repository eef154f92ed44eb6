"""The options of a training, as its form has them."""

from __future__ import annotations

from collections.abc import Mapping

from core.config.sources import TrainingSourceOptions
from core.config.training import TRAINING
from core.workspace import Workspace
from tui import option_texts
from tui.option_texts import OptionTexts

_METHODS = {
    "lora": ("lora_", "loraplus_", "use_rslora", "use_dora", "additional_target", "create_new_adapter"),
    "p_tuning": ("pre_seq_len", "prefix_projection"),
    "freeze": ("freeze_",),
}


def relevant(name: str, values: Mapping[str, str]) -> bool:
    """Whether an option means something for the method that is chosen."""
    method = values.get("finetuning_type") or "lora"
    owners = [owner for owner, starts in _METHODS.items() if name.startswith(starts)]
    return not owners or method in owners or method not in ("full", *_METHODS)


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
        )
    ),
    of_a_run=("output_dir", "resume_from_checkpoint", "overwrite_output_dir"),
    relevant=relevant,
)


def suggested(workspace: Workspace) -> dict[str, list[str]]:
    """What there is for options that name something."""
    return option_texts.suggested(workspace, ("dataset", "eval_dataset"))
