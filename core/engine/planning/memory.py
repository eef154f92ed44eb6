"""How much memory an update will take, and whether that asks for gradient checkpointing: one rule for plan and run.

Weights, gradients and optimiser follow from the shapes. What is kept for the backward pass is counted per token and
layer, as the training's own forward keeps it. Against measured peaks of two models and four methods the sum is 1.0 to
1.4 times as much: what rows of a batch share, and gradients that come while activations go, are not counted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions
from core.engine.batches.order import Updates
from core.engine.batches.recipe import longest_answer
from core.engine.planning.anatomy import Anatomy, read_anatomy
from core.engine.planning.trainable import trainable_parameters
from core.engine.tuning.stored import trains_as_stored
from core.errors import ModelError
from core.hardware import accelerators, memory
from core.runs.plan import MemoryEstimate

_USABLE = 0.9
"""The share of what is free that is planned with; the rest is for what nobody counts."""
_RUNTIME_BYTES = {"cpu": 550 << 20, "accelerator": 900 << 20}
"""Libraries, on a CPU; the driver's context and kernels, on an accelerator."""
_OPTIMIZER_BYTES = {"adamw_torch": 8.0, "adamw_torch_fused": 8.0, "adamw_8bit": 2.1, "adafactor": 0.2, "sgd": 0.0}
"""For each trained parameter of four bytes."""
_LOGIT_SLICE_BYTES = 128 << 20
_LOGIT_COPIES = 3
"""Logits, their probabilities and their gradient."""
_GENERATOR_BYTES = 200 << 20
"""What drawing answers takes besides keys and values, seen with one model on a CPU."""


@dataclass(frozen=True)
class Size:
    """Of the longest micro-batch."""

    tokens: int
    """Padding included, where rows are padded."""
    targets: int
    """Whose probabilities are computed."""
    drawn: int = 0
    """Tokens of the longest answers of a step of PPO, with their prompts."""


@dataclass(frozen=True)
class Place:
    """Where it is computed."""

    kind: str
    """cpu, cuda, mps …"""
    name: str
    free: int
    """Bytes for each process; 0 where nobody knows."""


def needs_checkpointing(
    settings: Settings, folder: Path, updates: Updates, projected: NDArray[np.int32], device: str = ""
) -> bool:
    """Whether a training computes again instead of keeping: as the options say, `auto` by the estimate.

    Args:
        folder: the base model's.
        projected: of each row, the tokens whose probabilities are computed.
        device: what was chosen already; to be asked before the model is loaded into it.
    """
    options = settings[OptimizationOptions]
    if options.gradient_checkpointing != "auto":
        return options.gradient_checkpointing == "true"
    model = read_anatomy(folder)
    if not model.weights:  # pickles, whose shapes nobody tells before they are loaded
        return False
    try:
        trainable = trainable_parameters(model, settings[FinetuningOptions])
    except ModelError:  # names that the loaded model may know; if not, it says so better
        trainable = 0
    place = place_of(settings, device)
    return is_short(estimate_memory(settings, model, trainable, longest(settings, updates, projected), place))


def is_short(estimate: MemoryEstimate) -> bool:
    """Whether there is too little memory to keep everything."""
    return 0 < _USABLE * estimate.available < estimate.total


def longest(settings: Settings, updates: Updates, projected: NDArray[np.int32]) -> Size:
    """The size of the longest micro-batch that can come; PPO's answers are as long as may be."""
    rows, stage = updates.longest_batch(), settings[FinetuningOptions].stage
    answer = longest_answer(settings) if stage == "ppo" else 0
    lengths = updates.lengths[rows] + answer
    tokens = int(lengths.max()) * len(rows) if pads(settings) else int(lengths.sum())
    if stage == "ppo":
        drawn = min(updates.rows_per_update // updates.world, len(updates.lengths)) * int(lengths.max())
        return Size(tokens, answer * len(rows), drawn)
    return Size(tokens, 0 if stage == "rm" else int(projected[rows].sum()))


def pads(settings: Settings) -> bool:
    """Whether rows stand padded below one another."""
    options = settings[FinetuningOptions]
    return options.finetuning_type == "p_tuning" or bool(options.neftune_noise_alpha)


def place_of(settings: Settings, device: str = "") -> Place:
    """The device that the options mean, with what is free of it."""
    wanted = device or settings[BaseModelOptions].device
    found = accelerators() if not wanted.startswith("cpu") else ()
    if not found:
        return Place("cpu", "cpu", memory().free // settings[LaunchOptions].nproc_per_node)
    index = int(wanted.partition(":")[2] or 0)
    chosen = next((one for one in found if one.index == index), found[0])
    return Place("cuda" if chosen.kind != "mps" else "mps", chosen.name, chosen.free_bytes)


def estimate_memory(
    settings: Settings, model: Anatomy, trainable: int, size: Size, place: Place, beside: int = 0
) -> MemoryEstimate:
    """What a process will hold at its longest micro-batch.

    Args:
        beside: parameters of other models that are held.
    """
    options = settings[OptimizationOptions]
    trained_bytes = 2 if options.pure_bf16 else 4
    is_cpu = place.kind == "cpu"
    width = _computed_bytes(settings, model, is_cpu)
    method = settings[FinetuningOptions]
    inside = method.finetuning_type in ("full", "freeze")
    slice_rows = max(64, _LOGIT_SLICE_BYTES // (4 * max(model.vocabulary, 1)))
    return MemoryEstimate(
        runtime=_RUNTIME_BYTES["cpu" if is_cpu else "accelerator"] + (_GENERATOR_BYTES if size.drawn else 0),
        weights=_weight_bytes(settings, model, is_cpu) + (0 if inside else trainable * trained_bytes),
        gradients=trainable * trained_bytes,
        optimizer=optimizer_bytes(options, trainable),
        activations=size.tokens * _kept_bytes(model, width, _layers_passed(model, method)),
        checkpointed_activations=size.tokens * (_kept_bytes(model, width, 1) + model.layers * model.hidden * 4),
        logits=min(size.targets, slice_rows) * model.vocabulary * 4 * _LOGIT_COPIES,
        available=place.free,
        device=place.name,
        beside=beside * _held_bytes(settings, model, is_cpu),
        rollouts=size.drawn * model.layers * 2 * model.key * width,
    )


def optimizer_bytes(options: OptimizationOptions, trainable: int) -> int:
    """What the optimiser remembers of so many parameters."""
    return int(trainable * _OPTIMIZER_BYTES[options.optim] * (0.5 if options.pure_bf16 else 1))


def _layers_passed(model: Anatomy, options: FinetuningOptions) -> int:
    """The layers that the backward pass goes through: none below the lowest one with something to train."""
    count = options.freeze_trainable_layers
    if options.finetuning_type != "freeze" or count < 0 or options.freeze_extra_modules:
        return model.layers
    return min(count, model.layers)


def _kept_bytes(model: Anatomy, width: int, layers: int) -> int:
    """Bytes for each token that the backward pass needs of some layers, and of what is computed at once."""
    of_layer = 6 * model.hidden + 3 * model.query + 4 * model.key + 4 * model.inner
    at_once = 6 * model.hidden + 4 * model.inner
    return (of_layer * layers + at_once) * width


def _weight_bytes(settings: Settings, model: Anatomy, is_cpu: bool) -> int:
    bits = settings[FinetuningOptions].quantization_bit
    width = _held_bytes(settings, model, is_cpu)
    if not bits:
        return model.parameters * width
    linear = sum(inputs * outputs for inputs, outputs in model.linear.values())
    return int(linear * bits / 8 * 1.07) + (model.parameters - linear) * width


def _held_bytes(settings: Settings, model: Anatomy, is_cpu: bool) -> int:
    """Of a weight that is not trained; see `core.engine.tuning.base.weights_dtype`, which decides."""
    options, method = settings[OptimizationOptions], settings[FinetuningOptions].finetuning_type
    if options.pure_bf16:
        return 2
    if method == "full":
        return 4
    if method == "freeze":
        return 2 if options.bf16 and not is_cpu else 4
    dtype = settings[BaseModelOptions].dtype
    if is_cpu and trains_as_stored(settings[BaseModelOptions], settings[FinetuningOptions], model.stored):
        return 2
    return {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 4 if is_cpu else 2}[dtype]


def _computed_bytes(settings: Settings, model: Anatomy, is_cpu: bool) -> int:
    """Of a number on its way through the model."""
    options = settings[OptimizationOptions]
    if options.bf16 or options.pure_bf16 or (options.fp16 and not is_cpu):
        return 2
    return _held_bytes(settings, model, is_cpu)
