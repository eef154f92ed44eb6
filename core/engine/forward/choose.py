"""How a batch goes through a network: the one place where the techniques of this package are put together.

Supervised training asks for a loss; whoever learns otherwise takes the hidden states at targets, or at the ends of
rows, and the `projection` that makes probabilities of them.

Each technique gives what plain transformers and PEFT would give, gradients included, and tests say so; where one would
not be exact for a model or a method, it is left out, and `Forward.choices` tells which ones are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.config.optimization import OptimizationOptions
from core.engine.batches.batch import Batch
from core.engine.forward.attention import IMPLEMENTATION, no_mask
from core.engine.forward.compiled import CompiledLayers, has_compiler
from core.engine.forward.families import goes_ragged, inner_model
from core.engine.forward.lean import LeanModules
from core.engine.forward.padded import Padded, pad
from core.engine.forward.projection import Projection, projection_of
from core.engine.forward.ragged import Ragged, lay_out
from core.engine.tuning.tunable import Tunable


@dataclass(frozen=True)
class BatchLoss:
    """What a batch says about the model."""

    sum: Tensor
    """float32 scalar with the graph of its gradient: the loss of the targets, added up."""
    targets: int
    correct: int
    """Targets that are also the likeliest token; counted in evaluations only, else 0."""


@dataclass(frozen=True)
class TargetStates:
    """The last hidden states from which targets are predicted: row by row, each row's in their order."""

    hidden: Tensor
    """[targets, size]"""
    targets: Tensor
    """int64 [targets]"""
    rows: Tensor
    """int64 [targets]: the rows of the batch that they are of."""


class Forward:
    """A network, ready to be trained on batches."""

    def __init__(
        self,
        network: Any,
        *,
        ragged: bool,
        share: bool,
        lean: bool,
        projection: Projection,
        compiled: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.network = network
        self._model = inner_model(network)
        self._ragged, self._share = ragged, share
        self.projection = projection
        self._device = next(self._model.parameters()).device
        self._filler = int(getattr(self._model.config, "pad_token_id", None) or 0)
        self._own_attention = self._model.config._attn_implementation
        if ragged:
            self._model.set_attn_implementation(IMPLEMENTATION)
        self._lean = LeanModules(self._model, only_attention=compiled) if lean else None
        self._compiled = CompiledLayers(self._model) if compiled else None
        self._notes = notes

    @property
    def choices(self) -> tuple[str, ...]:
        """What was chosen, in short phrases for the run's record."""
        rows = "rows end to end, no padding" if self._ragged else "rows padded"
        shared = ("shared tokens once",) if self._share else ()
        lean = ("lean arithmetic",) if self._lean else ()
        compiled = ("layers compiled",) if self._compiled is not None else ()
        return (rows, *shared, "logits at targets only", *lean, *compiled, *self._notes)

    def train(self, mode: bool = True) -> None:
        """Dropout and noise on, or off for an evaluation; between evaluations everything has a graph."""
        self.network.train(mode)
        if self._compiled is not None:
            self._compiled.use(mode)

    def loss(self, batch: Batch) -> BatchLoss:
        """The loss of a batch; with a graph of its gradient while training, without one in an evaluation."""
        training = bool(self.network.training)
        with torch.set_grad_enabled(training):
            hidden, targets = self._ragged_states(batch) if self._ragged else self._padded_states(batch)
            loss = self.projection.loss(hidden, targets, count_correct=not training)
        return BatchLoss(loss.total, len(targets), loss.correct)

    def target_states(self, batch: Batch) -> TargetStates:
        """The states that a batch's targets are predicted from; with a graph while training, without one otherwise."""
        with torch.set_grad_enabled(bool(self.network.training)):
            if not self._ragged:
                rectangle, states = self._rectangle(batch)
                rows = rectangle.predicting.nonzero()[:, 0]
                return TargetStates(states[rectangle.predicting], rectangle.targets, rows)
            line, states = self._line(batch)
            places = line.predicting.index_select(0, line.in_order)
            return TargetStates(states.index_select(0, places), line.targets[line.in_order], line.rows)

    def end_states(self, batch: Batch) -> Tensor:
        """The last hidden state of each row's last token, [rows, size]; with a graph while training."""
        with torch.set_grad_enabled(bool(self.network.training)):
            if not self._ragged:
                rectangle, states = self._rectangle(batch)
                return states[torch.arange(len(states), device=self._device), rectangle.mask.sum(1) - 1]
            line, states = self._line(batch)
            return states.index_select(0, line.ends)

    def close(self) -> None:
        """Give the network back as it was."""
        if self._ragged:
            self._model.set_attn_implementation(self._own_attention)
        if self._compiled is not None:
            self._compiled.restore()
        if self._lean is not None:
            self._lean.restore()
        if self._model.is_activation_checkpointing:
            self._model.activation_checkpointing_disable()

    def _ragged_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        line, states = self._line(batch)
        return states.index_select(0, line.predicting), line.targets

    def _line(self, batch: Batch) -> tuple[Ragged, Tensor]:
        """A batch end to end, with its states [tokens, size]."""
        line = lay_out(batch, share=self._share, device=self._device)
        states = self._decoder(
            input_ids=line.ids,
            position_ids=line.positions,
            attention_mask=no_mask(self._device),
            ragged=line,
        )
        return line, states[0]

    def _padded_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        rectangle, states = self._rectangle(batch)
        return states[rectangle.predicting], rectangle.targets

    def _rectangle(self, batch: Batch) -> tuple[Padded, Tensor]:
        """A batch padded, with its states [rows, length, size]."""
        rectangle = pad(batch, filler=self._filler, device=self._device)
        return rectangle, self._decoder(input_ids=rectangle.ids, attention_mask=rectangle.mask)

    def _decoder(self, **inputs: Any) -> Tensor:
        """The last hidden states, [rows, length, size]. No cache: it would make rows of a line see one another."""
        states: Tensor = self._model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        return states


def choose_forward(
    tunable: Tunable, *, options: OptimizationOptions, checkpointing: bool = False, compile: bool = False
) -> Forward:
    """The fastest forward that is exact for this model and method.

    Args:
        tunable: the model with what is trained of it.
        options: precision and label smoothing.
        checkpointing: compute again in the backward pass instead of keeping.
        compile: compile the layers, where it can be done; `choices` says where not.
    """
    model = inner_model(tunable.network)
    ragged = goes_ragged(model) and not tunable.pads
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    projection = projection_of(model, options.label_smoothing_factor)
    hindrance = _hindrance(model, ragged, checkpointing) if compile else None
    return Forward(
        tunable.network,
        ragged=ragged,
        share=ragged and tunable.exact_sharing,
        lean=True,
        projection=projection,
        compiled=compile and hindrance is None,
        notes=() if hindrance is None else (f"not compiled: {hindrance}",),
    )


def _hindrance(model: Any, ragged: bool, checkpointing: bool) -> str | None:
    """Why layers are not compiled, where it was asked for."""
    if not has_compiler(next(model.parameters()).device):
        return "no C++ compiler here"
    if checkpointing:
        return "does not go with gradient checkpointing"
    return None if ragged else "for rows end to end only"
