"""Models that are held beside the one that is trained: on its own base where that can be, else loaded by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from core.config.model import BaseModelOptions
from core.engine.adapters import below, open_adapter
from core.engine.beside.policy_runner import PolicyRunner
from core.engine.chat_model import ChatModel
from core.engine.load import number_format
from core.engine.tokenizer import Tokenizer
from core.engine.tuning.base import TrainingBase
from core.engine.tuning.tunable import Tunable
from core.errors import ModelError
from core.i18n import _
from core.models.notes import AdapterNotes
from core.serve.protocol import Load
from core.untrusted import inert_line


class Beside:
    """Where such models find their weights.

    Args:
        policy: the trained network as one that answers; made when it is needed, where there is none yet.
    """

    def __init__(
        self, tunable: Tunable, base: TrainingBase, options: BaseModelOptions, policy: PolicyRunner | None = None
    ) -> None:
        self.base = base
        self._tunable, self._options, self._policy = tunable, options, policy

    @property
    def notes(self) -> AdapterNotes:
        """How the trained model is asked."""
        return self._tunable.notes

    def sharing(self, folder: Path, adapter: Path | None = None) -> ChatModel | None:
        """The base of the training with what is trained, if that base is of a folder and an adapter can lie beside.

        Args:
            adapter: which one; None: the base by itself is wanted.
        """
        if folder.resolve() != self.base.folder.resolve() or self._tunable.method not in ("lora", "p_tuning"):
            return None
        if not _lies_over(adapter, [one.sha256 for one in self._tunable.notes.chain]):
            return None
        if self._policy is None:
            self._policy = PolicyRunner(self._tunable, self.base)
        return self._policy.chat if self._policy.chat.base.fused is not None else None

    def loaded(self, folder: Path) -> ChatModel:
        """A model of its own, on the trained one's device and in its number format.

        Raises:
            ModelError: it cannot be loaded.
        """
        return ChatModel.load(self.request(folder), lambda _phase: None)

    def request(self, folder: Path) -> Load:
        """How such a model is loaded."""
        network = self.base.network
        return Load(
            1,
            str(folder),
            dtype=number_format(network.dtype),
            device=str(network.device),
            threads=torch.get_num_threads(),
            trust_remote_code=self._options.trust_remote_code,
            allow_pickle=self._options.allow_pickle,
        )


def _lies_over(adapter: Path | None, merged: Sequence[str]) -> bool:
    """Whether the fast forward can add an adapter, or nothing, to a base that has others in its weights."""
    if adapter is None:
        return not merged
    folder = open_adapter(adapter)
    return folder.lies_over(merged) and folder.is_plain_lora() and all(one.adds_up() for one in below(folder, merged))


def refuse_other_tokens(name: str, other: Tokenizer, trained: Tokenizer) -> None:
    """Refuse a model that means other texts by the trained model's tokens.

    Raises:
        ModelError: says what differs.
    """
    there, here = (one.backend.get_vocab(with_added_tokens=True) for one in (other, trained))
    if there == here:
        return
    what = _("{name} reads other tokens than the trained model").format(name=name)
    if len(there) != len(here):
        detail = _("it knows {there:,} of them, the trained model {here:,}").format(there=len(there), here=len(here))
    else:
        token = min(token for token in {*there, *here} if there.get(token) != here.get(token))
        detail = _("{token} is {there} there and {here} here").format(
            token=repr(inert_line(token)), there=there.get(token, "–"), here=here.get(token, "–")
        )
    raise ModelError(f"{what}: {detail}", _("take a model of the same family, with the same tokenizer"))
