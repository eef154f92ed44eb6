"""How many parameters a method trains, from the shapes of a model's weights alone.

The methods themselves look at the loaded model; this is what they will find in it. A dry step counts, and says if a
model is made otherwise than its names promise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from core.config.finetuning import FinetuningOptions
from core.engine.planning.anatomy import Anatomy, layer_of
from core.engine.tuning.purposes import ends_with, resolve_names
from core.models.info import AdapterInfo
from core.runs.quantities import TrainingStage


def trainable_parameters(model: Anatomy, options: FinetuningOptions, adapters: Iterable[AdapterInfo] = ()) -> int:
    """The parameters that are trained.

    Args:
        adapters: those of `adapter_name_or_path`; the last one is trained further unless a new one is asked for.

    Raises:
        ModelError: `lora_target` names what the model does not have.
    """
    *_merged, last = [None, *adapters]
    match options.finetuning_type:
        case "full":
            return model.parameters
        case "freeze":
            return _frozen_but(model, options)
        case "lora":
            return last.parameters if last and not options.create_new_adapter else _factors(model, options)
        case "p_tuning":
            return last.parameters if last else _prefix(model, options)
        case _:
            assert_never(options.finetuning_type)


def head_parameters(model: Anatomy, stage: TrainingStage) -> int:
    """Of the value head that reward models and PPO train besides."""
    return model.hidden + 1 if stage in ("rm", "ppo") else 0


def idle_parameters(model: Anatomy, stage: TrainingStage, options: FinetuningOptions) -> int:
    """Of an output head that a reward model has no use for, where its method would train it."""
    if stage != "rm" or options.finetuning_type not in ("full", "freeze"):
        return 0
    would = options.finetuning_type == "full" or "lm_head" in options.freeze_extra_modules
    heads = [header.elements for name, header in model.parts() if name.endswith("lm_head.weight")]
    return sum(heads) if would else 0


def _factors(model: Anatomy, options: FinetuningOptions) -> int:
    targets, _told = resolve_names(list(model.linear), options.lora_target, list(model.vocabularies))
    layers = model.linear | model.vocabularies
    chosen = {name: shape for name, shape in layers.items() if any(ends_with(name, end) for end in targets)}
    factors = sum(options.lora_rank * (inputs + outputs) for inputs, outputs in chosen.values())
    magnitudes = sum(outputs for _inputs, outputs in chosen.values()) if options.use_dora else 0
    return factors + magnitudes + _of_modules(model, options.additional_target)


def _of_modules(model: Anatomy, names: Iterable[str]) -> int:
    """The weights inside modules of these names."""
    wanted = tuple(names)
    return sum(
        header.elements
        for name, header in model.weights.items()
        if any(f".{module}." in f".{name}" for module in wanted)
    )


def _prefix(model: Anatomy, options: FinetuningOptions) -> int:
    width = model.layers * 2 * model.key
    if not options.prefix_projection:
        return options.pre_seq_len * width
    inner = model.key
    return options.pre_seq_len * inner + inner * inner + inner + inner * width + width


def _frozen_but(model: Anatomy, options: FinetuningOptions) -> int:
    count, modules = options.freeze_trainable_layers, options.freeze_trainable_modules
    chosen = range(max(0, model.layers - count), model.layers) if count >= 0 else range(min(-count, model.layers))
    total = 0
    for name, header in model.parts():
        layer = layer_of(name)
        if layer is None:
            wanted = options.freeze_extra_modules
        elif layer in chosen:
            wanted = ("",) if "all" in modules else modules
        else:
            continue
        total += header.elements if any(not one or f".{one}." in f".{name}" for one in wanted) else 0
    return total
