"""Whether a training on a CPU keeps a base's weights in the format that they are stored in. Torch is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.hardware import multiplies_bfloat16


def stored_format(config: Mapping[str, Any]) -> str:
    """What a model's config says its weights are stored in, such as `bfloat16`; empty where it does not say."""
    places = (config, config.get("text_config") or {})
    found = [place.get(name) for place in places for name in ("dtype", "torch_dtype")]
    return next((str(name) for name in found if name), "")


def trains_as_stored(model: BaseModelOptions, finetuning: FinetuningOptions, stored: str) -> bool:
    """Whether the weights are held in bfloat16: where they are stored so and the CPU has matrix units for it.

    For new factors over untouched weights only. An adapter that goes on was perhaps trained in float32, merging one
    would round the sum, and other methods have only been measured in float32.

    Args:
        stored: as torch names it.
    """
    return (
        model.dtype == "auto"
        and stored == "bfloat16"
        and finetuning.finetuning_type == "lora"
        and not finetuning.adapter_name_or_path
        and not finetuning.quantization_bit
        and multiplies_bfloat16()
    )
