"""The model that a training begins with: loaded like a chat's, with the number format that the method needs.

Weights that stay as they are may be held in any format; what is trained is held in float32, or its small steps would
be rounded away, unless `pure_bf16` wants it otherwise. 4 and 8 bits come from bitsandbytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.engine.fused_layer import Module
from core.engine.load import choose_device, choose_dtype, end_ids, load_network, model_name, read_config, refuse_risks
from core.engine.manner import manner_of_model
from core.engine.quantized import few_bits, settle
from core.engine.template import Template
from core.engine.tokenizer import Tokenizer, load_tokenizer
from core.engine.tuning.stored import stored_format, trains_as_stored
from core.models.notes import AdapterNotes, base_hashes, text_sha256
from core.runs.installed import versions_of
from core.serve.protocol import Load

_PACKAGES = ("finetui", "torch", "transformers", "peft")


@dataclass(frozen=True)
class TrainingBase:
    """A loaded model, nothing of it trained yet."""

    name: str
    folder: Path
    network: Module
    tokenizer: Tokenizer
    template: Template
    end_ids: frozenset[int]
    quantization_bit: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def recorded_name(self) -> str:
        """The base as what is trained on it names it: the hub's id, or the folder."""
        return self.name if self.folder.parent.name == "snapshots" else str(self.folder)


def load_for_training(
    model: BaseModelOptions,
    finetuning: FinetuningOptions,
    optimization: OptimizationOptions,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> TrainingBase:
    """Load the base of a training.

    Args:
        model: `model_name_or_path` is a folder.
        device: not given: as `model.device` says.
        dtype: not given: as `weights_dtype` says.

    Raises:
        ModelError: the folder is no model that may be loaded, or cannot be held in so few bits here.
        UsageError: the template or the device does not exist.
    """
    device = device or choose_device(model.device)
    if dtype is None:
        stored = stored_format(read_config(Path(model.model_name_or_path)))
        dtype = weights_dtype(model, finetuning, optimization, device, stored)
    request = Load(
        1,
        model.model_name_or_path,
        template=model.template,
        trust_remote_code=model.trust_remote_code,
        allow_pickle=model.allow_pickle,
    )
    return _loaded(request, device, dtype, finetuning.quantization_bit)


def load_plainly(folder: Path, device: torch.device, dtype: torch.dtype) -> TrainingBase:
    """Load a base for what is no training; see `load_for_training`."""
    return _loaded(Load(1, str(folder)), device, dtype)


def _loaded(request: Load, device: torch.device, dtype: torch.dtype, bits: int | None = None) -> TrainingBase:
    folder = Path(request.model)
    config = read_config(folder)
    refuse_risks(folder, config, request)
    tokenizer = load_tokenizer(folder, request.trust_remote_code)
    template = manner_of_model(folder, request.template, tokenizer).template
    network, warnings = load_network(folder, request, device, dtype, few_bits(bits, dtype) if bits else None)
    if bits:
        settle(network)
    ends = end_ids(folder, config) | tokenizer.eos_ids | template.end_ids
    return TrainingBase(model_name(folder), folder, network, tokenizer, template, ends, bits, tuple(warnings))


def weights_dtype(
    model: BaseModelOptions,
    finetuning: FinetuningOptions,
    optimization: OptimizationOptions,
    device: torch.device,
    stored: str = "",
) -> torch.dtype:
    """The format that a base is loaded in for a training.

    full trains every weight, so all are float32. freeze needs autocast to compute with two formats, so its frozen
    layers are small only under bf16. Adapters compute in the base's own format, whatever theirs is.

    Args:
        stored: what `stored_format` gave.
    """
    if optimization.pure_bf16:
        return torch.bfloat16
    if finetuning.finetuning_type == "full":
        return torch.float32
    if finetuning.finetuning_type == "freeze":
        return torch.bfloat16 if optimization.bf16 and device.type != "cpu" else torch.float32
    if optimization.fp16 and model.dtype == "auto" and device.type != "cpu":
        return torch.float16
    if device.type == "cpu" and trains_as_stored(model, finetuning, stored):
        return torch.bfloat16
    return choose_dtype(model.dtype, device)


def describe_base(base: TrainingBase, data: DataOptions) -> AdapterNotes:
    """The notes that every method's weights carry, as far as base and data decide them."""
    config_hash, tokenizer_hash = base_hashes(base.folder)
    return AdapterNotes(
        base=base.recorded_name,
        base_config_sha256=config_hash,
        tokenizer_sha256=tokenizer_hash,
        template=base.template.name,
        template_sha256=text_sha256(base.template.source),
        default_system=data.default_system,
        source_prefix=data.source_prefix,
        enable_thinking=data.enable_thinking,
        quantization_bit=base.quantization_bit,
        datasets=data.dataset,
        versions=versions_of(_PACKAGES),
    )
