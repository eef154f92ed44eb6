"""What a trained model is held against: how likely another model finds the same answers.

Not named, it is the trained model as it was when the training began, with every adapter that it goes on from: kept
tensors of what is trained, computed by the very arithmetic of the training, so that the distance is exactly 0 before
the first update. Never the bare base by accident, which an adapter that is switched off would be. Named, it is another
adapter on the same weights, where these stay as they are, or a model beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from core.config.model import BaseModelOptions
from core.engine.adapters import open_adapter
from core.engine.batches.batch import Batch, EncodedRow
from core.engine.beside.models import Beside, refuse_other_tokens
from core.engine.beside.policy_runner import PolicyRunner
from core.engine.chat_model import ChatModel
from core.engine.forward.choose import Forward
from core.engine.predicting.likelihood import token_log_probabilities
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.snapshot import Snapshot
from core.engine.tuning.tunable import Tunable
from core.errors import TrainingError
from core.i18n import _
from core.models.candidates import base_of, resolve_candidate
from core.models.info import AdapterInfo
from core.models.notes import sha256_of
from core.runs.catalog import called
from core.untrusted import inert_line
from core.workspace import Workspace

_NAME = "reference"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is, for good (`core.runs.events.ModelsBeside`)."""

    name: str
    """In words: `telecom-lora (adapter) on smollm2-135m-instruct`."""
    sha256: str = ""
    """Of its weights that are not the base's; empty where it is the base itself."""
    is_start: bool = False
    """Whether it is the trained model as it was before the first update."""


class Reference(Protocol):
    """What a trained model is held against."""

    @property
    def identity(self) -> Identity: ...

    def log_probabilities(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        """How likely the tokens with loss are, float32 [targets], in the batch's order; without a graph or dropout."""


@dataclass(frozen=True)
class StartReference:
    """The trained model as it was."""

    identity: Identity
    snapshot: Snapshot
    forward: Callable[[], Forward]
    """The training's forward of now."""

    def log_probabilities(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        forward = self.forward()
        with self.snapshot.in_place(), evaluating(forward), torch.no_grad():
            states = forward.target_states(batch)
            return forward.projection.log_probabilities(states.hidden, states.targets, temperature)


@dataclass(frozen=True)
class OtherReference:
    """Another model, or an adapter on the base."""

    identity: Identity
    chat: ChatModel
    adapter: str | None

    def log_probabilities(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        texts = [(row.ids.tolist(), _places(row)) for row in batch.rows]
        found = []
        for one in token_log_probabilities(self.chat, texts, self.adapter, temperature):
            if one is None:
                what = _("memory does not suffice for the reference {name}").format(name=self.identity.name)
                raise TrainingError(what, _("take shorter rows, or leave ref_model out"))
            found.append(one)
        return torch.cat(found)


def _places(row: EncodedRow) -> list[int]:
    places: list[int] = (1 + np.flatnonzero(row.trained[1:])).tolist()
    return places


@contextmanager
def evaluating(forward: Forward) -> Iterator[None]:
    """Dropout and noise are off for a while."""
    was_training = bool(forward.network.training)
    forward.train(False)
    try:
        yield
    finally:
        forward.train(was_training)


def open_reference(
    tunable: Tunable,
    base: TrainingBase,
    *,
    ref_model: str | None,
    adapters: Sequence[Path],
    forward: Callable[[], Forward],
    options: BaseModelOptions,
    workspace: Workspace,
    policy: PolicyRunner | None = None,
    on_warning: Callable[[str], None] = lambda _message: None,
) -> Reference:
    """The reference of a training, before a checkpoint is taken up: what is trained is its beginning now.

    Args:
        ref_model: an adapter or a model, as it is typed; None: the beginning.
        adapters: folders that the training goes on from.
        forward: gives the training's forward, whenever it is asked.
        policy: the network as one that answers, where there is one already.
        on_warning: told what it costs, and what should be said about it.

    Raises:
        ModelNotFound: there is no model of that name.
        ModelError: it cannot be loaded, or reads other tokens than the trained model.
    """
    if ref_model is None:
        if tunable.method == "full":
            on_warning(_("the reference takes the memory of a second model: all weights are trained"))
        return StartReference(start_identity(base, adapters), Snapshot(tunable), forward)
    found = resolve_candidate(ref_model, workspace)
    adapter = found if isinstance(found, AdapterInfo) else None
    folder = base_of(adapter, workspace).path if adapter is not None else found.path
    name = inert_line(called(ref_model))
    beside = Beside(tunable, base, options, policy)
    chat = beside.sharing(folder, None if adapter is None else adapter.path)
    if chat is None:
        told = _("the reference {name} is a model of its own beside the trained one, in memory too")
        on_warning(told.format(name=name))
        chat = beside.loaded(folder)
        refuse_other_tokens(name, chat.base.tokenizer, base.tokenizer)
    if adapter is None:
        return OtherReference(Identity(chat.base.name, _sha_of_model(folder, base)), chat, None)
    for warning in chat.load_adapter(_NAME, adapter.path).warnings:
        on_warning(warning)
    sha256 = sha256_of([open_adapter(adapter.path).weights])
    return OtherReference(Identity(_on(name, chat.base.name), sha256), chat, _NAME)


def start_identity(base: TrainingBase, adapters: Sequence[Path]) -> Identity:
    """Who the trained model is before its first update.

    Args:
        adapters: folders that the training goes on from.
    """
    if not adapters:
        return Identity(base.name, is_start=True)
    sha256 = sha256_of(open_adapter(path).weights for path in adapters)
    return Identity(_on(" + ".join(map(_folder_name, adapters)), base.name), sha256, is_start=True)


def _folder_name(path: Path) -> str:
    """`RUN`, or `RUN/step-000200`."""
    path = path.absolute()
    is_checkpoint = path.parent.name == "checkpoints"
    return inert_line(f"{path.parent.parent.name}/{path.name}" if is_checkpoint else path.name)


def _on(adapter: str, base: str) -> str:
    return _("{adapter} (adapter) on {base}").format(adapter=adapter, base=base)


def _sha_of_model(folder: Path, base: TrainingBase) -> str:
    """Of a whole model's weights; empty for the base itself."""
    return "" if folder.resolve() == base.folder.resolve() else sha256_of(sorted(folder.glob("*.safetensors")))
