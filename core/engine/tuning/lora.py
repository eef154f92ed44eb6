"""LoRA by PEFT: new factors, or an adapter that is trained further, over a base into which others may be merged."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn

from core.config.finetuning import FinetuningOptions
from core.config.optimization import OptimizationOptions
from core.engine.adapters import AdapterFolder
from core.engine.tuning.anatomy import is_tied, named_like
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.chain import attach, chained, merge_into, merged_facts
from core.engine.tuning.purposes import ends_with
from core.engine.tuning.targets import resolve_targets
from core.engine.tuning.tunable import ParameterGroup
from core.engine.tuning.tuned import Tuned, nonempty, trained_of, undecayed
from core.errors import ModelError, did_you_mean
from core.i18n import _
from core.models.notes import AdapterNotes


@dataclass
class TunedLora(Tuned):
    """Factors beside the weights. Only they are saved, as PEFT lays them out."""

    peft: PeftModel = field(kw_only=True)

    def groups(self) -> list[ParameterGroup]:
        """With LoRA+ (arXiv:2402.12354) B factors learn faster than A factors; grouped as PEFT does it."""
        ratio = self.options.loraplus_lr_ratio
        if ratio is None:
            return super().groups()
        rate, decay = self.optimization.learning_rate, self.optimization.weight_decay
        free = undecayed(self.network)
        slow: list[nn.Parameter] = []
        fast: list[nn.Parameter] = []
        undecayed_fast: list[nn.Parameter] = []
        embedded: list[nn.Parameter] = []
        for name, parameter in self.trained.items():
            if "lora_embedding_" in name:
                embedded.append(parameter)
            elif "lora_B" in name or parameter.ndim == 1:
                (undecayed_fast if id(parameter) in free or parameter.ndim == 1 else fast).append(parameter)
            else:
                slow.append(parameter)
        return list(
            nonempty(
                ParameterGroup(tuple(slow), rate, decay),
                ParameterGroup(tuple(embedded), self.options.loraplus_lr_embedding, decay),
                ParameterGroup(tuple(fast), rate * ratio, decay),
                ParameterGroup(tuple(undecayed_fast), rate * ratio, 0.0),
            )
        )

    def _save_weights(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.peft.save_pretrained(str(folder), save_embedding_layers=False)

    def _facts(self) -> dict[str, object]:
        config: Any = self.peft.peft_config["default"]
        kinds = [kind for kind in ("rslora", "dora") if getattr(config, f"use_{kind}")]
        facts = {"rank": config.r, "alpha": config.lora_alpha, "dropout": config.lora_dropout}
        return {**facts, "targets": _listed(config.target_modules), **dict.fromkeys(kinds, "yes")}


def tune_lora(
    base: TrainingBase,
    options: FinetuningOptions,
    optimization: OptimizationOptions,
    adapters: Sequence[Path],
    notes: AdapterNotes,
) -> Tuned:
    """Put factors beside a base's weights.

    Raises:
        ModelError: a target does not exist, or an adapter cannot be loaded; AdapterMismatch: it is of another base.
    """
    order = chained(adapters)
    merged = order if options.create_new_adapter else order[:-1]
    if merged and base.quantization_bit:
        raise ModelError(
            _("adapters cannot be merged into weights of {bits} bits").format(bits=base.quantization_bit),
            _("merge them into the whole model first (finetui export), or leave quantization_bit out"),
        )
    for folder in merged:
        merge_into(base.network, folder, base.name)
    if order and not options.create_new_adapter:
        model, told = _continued(base, order[-1], options)
    else:
        model, told = _new(base, options)
    network = model.get_base_model()
    trained = trained_of(network)
    if optimization.pure_bf16:
        for parameter in trained.values():
            parameter.data = parameter.data.to(torch.bfloat16)
    return TunedLora(
        base,
        options,
        optimization,
        dataclasses.replace(notes, method="lora", chain=merged_facts(merged)),
        network,
        "lora",
        trained,
        tuple(told),
        exact_sharing=not _has_dropout(model),
        peft=model,
    )


def _new(base: TrainingBase, options: FinetuningOptions) -> tuple[PeftModel, list[str]]:
    targets, told = resolve_targets(base.network, options.lora_target)
    whole = [_known_module(base.network, name) for name in options.additional_target]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.lora_rank,
        lora_alpha=options.lora_alpha or 2 * options.lora_rank,
        lora_dropout=options.lora_dropout,
        target_modules=targets,
        use_rslora=options.use_rslora,
        use_dora=options.use_dora,
        modules_to_save=whole or None,
        ensure_weight_tying=_touches_tied(base.network, [*targets, *whole]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(base.network, config)
    model.peft_config["default"].base_model_name_or_path = base.recorded_name
    return model, told


def _touches_tied(network: Any, names: Iterable[str]) -> bool:
    """Whether embedding or head are changed where they are one matrix; PEFT would make two of it in silence."""
    if not is_tied(network):
        return False
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    tied = [full for full, module in network.named_modules() if any(module is end for end in ends)]
    return any(ends_with(full, name) for full in tied for name in names)


def _continued(base: TrainingBase, folder: AdapterFolder, options: FinetuningOptions) -> tuple[PeftModel, list[str]]:
    """Train an adapter further: with its own rank, targets and kind, which its weights have."""
    model = attach(base.network, folder, base.name, trainable=True)
    config: Any = model.peft_config["default"]
    config.lora_dropout, config.inference_mode = options.lora_dropout, False
    _set_dropout(model, options.lora_dropout)
    told = _("goes on with {path}: {kind} of rank {rank}, alpha {alpha}, on {targets}; other LoRA options do not count")
    targets = _listed(config.target_modules)
    return model, [
        told.format(path=folder.path, kind=folder.method, rank=config.r, alpha=config.lora_alpha, targets=targets)
    ]


def _listed(targets: str | Iterable[str]) -> str:
    """Targets as people name them; PEFT's list may hold every layer's own."""
    if isinstance(targets, str):
        return targets
    return ", ".join(sorted({name.rpartition(".")[2] for name in targets}))


def _set_dropout(model: PeftModel, share: float) -> None:
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.lora_dropout["default"] = nn.Dropout(share) if share else nn.Identity()


def _has_dropout(model: PeftModel) -> bool:
    layers = (module for module in model.modules() if isinstance(module, LoraLayer))
    return any(isinstance(one, nn.Dropout) and one.p > 0 for layer in layers for one in layer.lora_dropout.values())


def _known_module(network: Any, name: str) -> str:
    if any(True for _found in named_like(network, name)):
        return name
    known = list(dict.fromkeys(full.rpartition(".")[2] for full, _module in network.named_modules() if full))
    raise ModelError(
        _("additional_target: the model has no module {name!r}").format(name=name),
        did_you_mean(name, known) or _("such as embed_tokens or lm_head"),
    )
