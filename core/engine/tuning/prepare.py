"""From a loaded base and options to what is trained: one function, one method each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from core.config.finetuning import FinetuningOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.base import TrainingBase, describe_base, load_for_training
from core.engine.tuning.freezing import tune_all, tune_layers
from core.engine.tuning.lora import tune_lora
from core.engine.tuning.noise import add_noise
from core.engine.tuning.p_tuning import tune_prefix
from core.engine.tuning.tunable import Tunable
from core.engine.tuning.tuned import Tuned
from core.models.notes import AdapterNotes

__all__ = ["TrainingBase", "describe_base", "load_for_training", "prepare"]


def prepare(
    base: TrainingBase,
    options: FinetuningOptions,
    optimization: OptimizationOptions,
    adapters: Sequence[Path],
    notes: AdapterNotes,
) -> Tunable:
    """Choose what is trained of a model, and how it will be saved.

    The base's network is changed in place. Random beginnings (factors, prefix) come from torch's generator: seed it
    before. Gradient checkpointing has to be the kind that is not reentrant: what is trained lies inside the layers,
    and the reentrant kind finds no gradient to their inputs.

    Args:
        adapters: folders of `adapter_name_or_path`, in their order.
        notes: what `describe_base` gave; method, chain and prefix are filled in here.

    Raises:
        ModelError: options name what this model does not have, or adapters that do not belong on it.
    """
    tuned: Tuned
    match options.finetuning_type:
        case "full":
            tuned = tune_all(base, options, optimization, dataclasses.replace(notes, method="full"))
        case "freeze":
            tuned = tune_layers(base, options, optimization, dataclasses.replace(notes, method="freeze"))
        case "lora":
            tuned = tune_lora(base, options, optimization, adapters, notes)
        case "p_tuning":
            tuned = tune_prefix(base, options, optimization, adapters, notes)
        case _:
            assert_never(options.finetuning_type)
    if options.neftune_noise_alpha:
        embeddings: Any = tuned.network.get_input_embeddings()
        add_noise(embeddings, options.neftune_noise_alpha)
        tuned.exact_sharing, tuned.pads = False, True
    return tuned
