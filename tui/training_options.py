"""The options of a training between the form and the configuration: as texts, and as what a command line would say.

Importing this imports pydantic (80 ms), so it is imported when the form opens.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from core.config.fields import FieldSpec, describe, shown
from core.config.load import Settings, load
from core.config.save import as_yaml
from core.config.sources import TrainingSourceOptions
from core.config.training import TRAINING
from core.data.catalog import read_catalog
from core.errors import FinetuiError
from core.models.adapters import find_adapters
from core.models.catalog import list_models
from core.workspace import Workspace

BASIC = frozenset(
    (
        *("model_name_or_path", "finetuning_type", "adapter_name_or_path", "lora_rank", "lora_target", "pre_seq_len"),
        *("freeze_trainable_layers", "dataset", "val_size", "cutoff_len", "learning_rate", "num_train_epochs"),
        *("per_device_train_batch_size", "gradient_accumulation_steps", "lr_scheduler_type", "output_dir"),
        *("logging_steps", "save_steps", "eval_steps", "probe_prompt"),
    )
)
"""What most trainings say; the other rows are folded until they say something too."""
_METHODS = {
    "lora": ("lora_", "loraplus_", "use_rslora", "use_dora", "additional_target", "create_new_adapter"),
    "p_tuning": ("pre_seq_len", "prefix_projection"),
    "freeze": ("freeze_",),
}
_OF_A_RUN = ("output_dir", "resume_from_checkpoint", "overwrite_output_dir")
"""What a copy of a run does not take over: it is another run."""


def option_specs() -> list[FieldSpec]:
    """Every option of a training, in the order of the form."""
    return describe(*TRAINING)


def defaults() -> dict[str, str]:
    """Every option's default as one would type it."""
    return {spec.name: spec.shown_default for spec in option_specs()}


def preset_texts(name: str) -> dict[str, str]:
    """Every option as a preset has it."""
    return _texts(load([*TRAINING, TrainingSourceOptions], values={"preset": name}))


def file_texts(config: Path) -> dict[str, str]:
    """Every option as a run's `config.yaml` has it, without what belongs to that run alone.

    Raises:
        ConfigError: the file has mistakes.
    """
    texts = _texts(load([*TRAINING, TrainingSourceOptions], file=config))
    return {**texts, **{name: text for name, text in defaults().items() if name in _OF_A_RUN}}


def _texts(settings: Settings) -> dict[str, str]:
    values = settings.values()
    return {spec.name: shown(values[spec.name]) for spec in option_specs()}


def relevant(name: str, values: Mapping[str, str]) -> bool:
    """Whether an option means something for the method that is chosen."""
    method = values.get("finetuning_type") or "lora"
    owners = [owner for owner, starts in _METHODS.items() if name.startswith(starts)]
    return not owners or method in owners or method not in ("full", *_METHODS)


def said(values: Mapping[str, str]) -> dict[str, str]:
    """What differs from the defaults and means something."""
    usual = defaults()
    return {
        name: text.strip()
        for name, text in values.items()
        if text.strip() and text.strip() != usual[name] and relevant(name, values)
    }


def settings_of(values: Mapping[str, str]) -> Settings:
    """The options that the texts mean; an empty text is the option's default.

    Raises:
        ConfigError: all that is wrong, each problem's `where` being the option's name.
    """
    return load(TRAINING, values=said(values))


def yaml_of(settings: Settings) -> str:
    """The options as a file."""
    return as_yaml(settings, *TRAINING)


def command_of(values: Mapping[str, str]) -> str:
    """The command that trains the same."""
    words = ["finetui", "train"]
    for name, text in said(values).items():
        words += [f"--{name}", text]
    return shlex.join(words)


def suggested(workspace: Workspace) -> dict[str, list[str]]:
    """What there is for options that name something."""
    found: dict[str, list[str]] = {"model_name_or_path": ["default", *(m.name for m in list_models(workspace))]}
    found["adapter_name_or_path"] = [adapter.name for adapter in find_adapters(workspace)]
    try:
        found["dataset"] = found["eval_dataset"] = list(read_catalog(workspace.data).entries)
    except FinetuiError:  # said when a set is named
        found["dataset"] = []
    return found


def option_of(where: str) -> str:
    """The option that a problem is about: `--lora_rank`, `lora.yaml:12: lora_rank` and the name alone."""
    return where.rpartition(" ")[2].lstrip("-").replace("-", "_") if where else ""
