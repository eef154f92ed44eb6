"""The options of an evaluation, as its form has them."""

from __future__ import annotations

from collections.abc import Mapping

from core.config.evaluation import EVALUATION
from core.config.remote import RemoteOptions
from core.config.sources import EvaluationSourceOptions
from core.metrics.catalog import METRICS
from core.workspace import Workspace
from tui import option_texts
from tui.option_texts import OptionTexts

_LOADED = (
    *("model_name_or_path", "adapter_name_or_path", "include_base", "finetuning_type", "quantization_bit"),
    *("fp16", "bf16", "reference_loss", "per_device_eval_batch_size"),
)
_CHOSEN = ("n_shot", "shot_dataset")
_WRITTEN = ("temperature", "max_new_tokens", "stop", "repetition_penalty", "reference_loss", "reward_model")
_DRAWN = ("top_p", "top_k", "min_p", "repeats")


def relevant(name: str, values: Mapping[str, str]) -> bool:
    """Whether an option means something: for a model that is loaded here or a served one, greedy or drawn answers."""
    served = bool(values.get("api_base", "").strip())
    if name in RemoteOptions.model_fields and name != "api_base":
        return served
    if name in _LOADED:
        return not served
    if name in (*_WRITTEN, *_DRAWN) and values.get("task") == "comparisons":
        return False
    if name in _CHOSEN:
        return values.get("task") not in ("answers", "comparisons")
    if name in _DRAWN:
        return values.get("temperature", "").strip() not in ("", "0", "0.0")
    return True


TEXTS = OptionTexts(
    command="eval",
    sections=EVALUATION,
    source=EvaluationSourceOptions,
    basic=frozenset(
        (
            *("model_name_or_path", "adapter_name_or_path", "include_base", "api_base", "api_model", "dataset"),
            *("max_samples", "temperature", "max_new_tokens", "repeats", "metrics", "reference_loss", "output_dir"),
        )
    ),
    of_a_run=("output_dir", "resume", "overwrite_output_dir"),
    relevant=relevant,
)


def suggested(workspace: Workspace) -> dict[str, list[str]]:
    """What there is for options that name something."""
    found = option_texts.suggested(workspace, ("dataset", "shot_dataset"))
    pairs = option_texts.suggested(workspace, ("dataset",), kind="pairs")
    return {
        **found,
        "dataset": [*found["dataset"], *pairs["dataset"]],
        "adapter_name_or_path": [*found["adapter_name_or_path"], *found["reward_model"]],
        "metrics": list(METRICS),
    }
