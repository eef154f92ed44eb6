"""Adapters one over another: each was trained over the base with those before it merged in.

An adapter's notes name what lies below it. Whoever names only the last means all of them, whoever names all of them
does not mean any twice; they are told apart by their weights, not by their paths.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel

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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ModelError(
            _("adapter {path} cannot be merged: {error}").format(path=folder.path, error=error),
            _("was its training stopped by NaN? take an earlier checkpoint"),
        ) from error
    if hasattr(network, "peft_config"):
        del network.peft_config
    network.requires_grad_(False)
