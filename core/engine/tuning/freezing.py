"""Full and freeze tuning: weights of the model itself are trained, all of them or those of some layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from core.config.finetuning import FinetuningOptions
from core.config.optimization import OptimizationOptions
from core.engine.tuning.anatomy import decoder_layers, named_like
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.saving import save_model
from core.engine.tuning.tuned import Tuned, to_masters, trained_of
from core.errors import ModelError, did_you_mean
from core.i18n import _
from core.models.notes import AdapterNotes


class TunedWeights(Tuned):
    """The model itself, which is saved whole."""

    def _save_weights(self, folder: Path) -> None:
        """A folder that loads like any model: weights in the base's format, tokenizer, template, generation config."""
        save_model(self.network, self.base, folder)


def tune_all(
    base: TrainingBase, options: FinetuningOptions, optimization: OptimizationOptions, notes: AdapterNotes
) -> Tuned:
    """Train every weight."""
    base.network.requires_grad_(True)
    return _tuned("full", base, options, optimization, notes)


def tune_layers(
    base: TrainingBase, options: FinetuningOptions, optimization: OptimizationOptions, notes: AdapterNotes
) -> Tuned:
    """Train the last or first layers, or named modules of them, and named modules beside them.

    Raises:
        ModelError: a name or a number fits nothing in this model.
    """
    network = base.network.requires_grad_(False)
    for module in _chosen_modules(network, options):
        module.requires_grad_(True)
    return _tuned("freeze", base, options, optimization, notes)


def _tuned(
    method: str,
    base: TrainingBase,
    options: FinetuningOptions,
    optimization: OptimizationOptions,
    notes: AdapterNotes,
) -> Tuned:
    network = base.network
    to_masters((one for one in network.parameters() if one.requires_grad), optimization)
    return TunedWeights(base, options, optimization, notes, network, method, trained_of(network))


def _chosen_modules(network: Any, options: FinetuningOptions) -> Iterator[nn.Module]:
    place, layers = decoder_layers(network)
    count = options.freeze_trainable_layers
    if abs(count) > len(layers):
        raise ModelError(
            _("freeze_trainable_layers {count}: the model has {layers} layers").format(count=count, layers=len(layers)),
            _("at most {layers}, or finetuning_type full").format(layers=len(layers)),
        )
    chosen = layers[len(layers) - count :] if count >= 0 else layers[:-count]
    for name in options.freeze_trainable_modules if chosen else ():
        yield from chosen if name == "all" else _parts(chosen, name)
    for name in options.freeze_extra_modules:
        found = [module for full, module in named_like(network, name) if not full.startswith(f"{place}.")]
        if not found:
            raise _no_module("freeze_extra_modules", name, _outside(network, place))
        yield from found


def _parts(layers: Sequence[nn.Module], name: str) -> list[nn.Module]:
    """The modules of that name in each layer."""
    found = [module for layer in layers for _full, module in named_like(layer, name)]
    if not found:
        raise _no_module(
            "freeze_trainable_modules", name, ["all", *(key for key, _module in layers[0].named_children())]
        )
    return found


def _outside(network: Any, place: str) -> list[str]:
    """Names of modules beside the layers that have weights of their own."""
    return [
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if not name.startswith(place) and any(True for _one in module.parameters(recurse=False))
    ]


def _no_module(option: str, name: str, known: Iterable[str]) -> ModelError:
    names = list(known)
    near = did_you_mean(name, names)
    there = _("there are: {names}").format(names=", ".join(names))
    return ModelError(
        _("{option}: the model has no {name!r} there").format(option=option, name=name),
        f"{near} {there}" if near else there,
    )
