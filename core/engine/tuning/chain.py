"""Adapters one over another: each was trained over the base with those before it merged in.

An adapter's notes name what lies below it. Whoever names only the last means all of them, whoever names all of them
does not mean any twice; they are told apart by their weights, not by their paths.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

from core.engine.adapters import AdapterFolder, below, check_fits, open_adapter
from core.errors import ModelError
from core.i18n import _
from core.models.notes import MergedAdapter, sha256_of


def chained(adapters: Sequence[Path]) -> list[AdapterFolder]:
    """Every LoRA adapter that belongs on the base, the lowest first.

    Raises:
        ModelError: one of them is missing, has changed, or is no LoRA.
    """
    order: list[AdapterFolder] = []
    seen: set[str] = set()
    for path in adapters:
        top = open_adapter(path)
        for folder in (*below(top), top):
            mark = sha256_of([folder.weights])
            if mark not in seen:
                seen.add(mark)
                order.append(_lora(folder))
    return order


def _lora(folder: AdapterFolder) -> AdapterFolder:
    if folder.is_prefix:
        raise ModelError(
            _("{path} is a prefix; lora goes on with LoRA adapters only").format(path=folder.path),
            _("set finetuning_type p_tuning to train the prefix further"),
        )
    return folder


def merged_facts(folders: Sequence[AdapterFolder]) -> tuple[MergedAdapter, ...]:
    """What the notes say about adapters that were merged."""
    return tuple(MergedAdapter(str(folder.path.absolute()), sha256_of([folder.weights])) for folder in folders)


def attach(network: Any, folder: AdapterFolder, model_name: str, *, trainable: bool = False) -> PeftModel:
    """Put an adapter over a network by PEFT.

    Raises:
        ModelError: PEFT cannot load it; AdapterMismatch: it is of another base.
    """
    check_fits(folder, network, model_name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PeftModel.from_pretrained(network, str(folder.path), is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(_("adapter {path} cannot be loaded: {error}").format(path=folder.path, error=error)) from error


def merge_into(network: Any, folder: AdapterFolder, model_name: str) -> None:
    """Add an adapter's change to the weights themselves.

    Raises:
        ModelError: see `attach` and `merge_attached`.
    """
    merge_attached(attach(network, folder, model_name), folder)


def merge_attached(model: Any, folder: AdapterFolder) -> None:
    """Add the change of an adapter that lies over a network to its weights; PEFT leaves the network.

    Raises:
        ModelError: its numbers are not finite.
    """
    was_tied = _set_apart(model.get_base_model())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ModelError(
            _("adapter {path} cannot be merged: {error}").format(path=folder.path, error=error),
            _("was its training stopped by NaN? take an earlier checkpoint"),
        ) from error
    if was_tied:
        _join(network)
    if hasattr(network, "peft_config"):
        del network.peft_config
    network.requires_grad_(False)


def _set_apart(network: Any) -> bool:
    """Give a tied output head weights of its own where factors lie over it or the embedding; whether that was so.

    Both would be merged into the one matrix, or one of them would change both ends.
    """
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    if not any(isinstance(end, LoraLayer) for end in ends):
        return False
    embedding, head = (getattr(end, "base_layer", end) for end in ends)
    if head.weight is not embedding.weight:
        return False
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    return True


def _join(network: Any) -> None:
    """Tie head and embedding again where they came out equal; else the configuration has to say that they are two."""
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()
    is_one = torch.allclose(head.weight, embedding.weight, rtol=0, atol=1e-6)
    if is_one:
        head.weight = embedding.weight
    for config in (network.config, network.config.get_text_config()):
        config.tie_word_embeddings = is_one
