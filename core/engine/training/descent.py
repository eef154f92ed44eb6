"""Gradients, and the weights' way along them: what every stage does alike, once it knows what to minimise.

Whoever learns says how sums are computed, and over how many units (tokens, pairs) they are means. When memory is short
the same is attempted in smaller pieces; an update stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.engine.forward.choose import Forward
from core.engine.planning.memory import optimizer_bytes
from core.engine.shortage import if_memory_suffices, is_out_of_memory
from core.engine.training.checkpoint import what_is_kept
from core.engine.training.memory import free_unused
from core.engine.training.random_state import random_state, set_random_state
from core.engine.training.work import Work
from core.errors import TrainingError
from core.i18n import _


@dataclass(frozen=True)
class Slope:
    """What the gradients of a step of the optimiser are like."""

    means: tuple[float, ...]
    """Of the sums that were attempted, over all processes' units; the loss first."""
    norm: float
    """The gradients' length before they are shortened."""


class Descent:
    """The forward and the optimiser of one run, and the pieces that fit into memory."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.trained = list(work.tunable.trained.values())
        self.effective = work.effective
        self.updates = work.updates.with_micro_batch(work.effective.micro_batch)
        self.forward: Forward = work.make_forward(work.effective.checkpointing)

    # --- gradients ----------------------------------------------------------------------------------------------

    def slope(self, attempt: Callable[[], Tensor], units: float) -> Slope:
        """Fill the gradients of a step.

        Args:
            attempt: goes forward and backward through this process's share, `backward` with each part's loss already
                divided by `units`; gives the sums, float32 [numbers], the loss first, the same numbers in every
                process.
            units: of all processes together.
        """
        processes = self.work.processes
        sums = self.fitted(attempt)
        if processes.world > 1:
            sums = torch.stack(processes.sum_gradients(self.trained, *sums.unbind()))
        if processes.scaler is not None:
            processes.scaler.unscale_(self.work.optimizer)
        longest = self.work.optimization.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.trained, longest)
        *means, length = torch.cat([sums / units, norm.float().reshape(1)]).tolist()
        return Slope(tuple(means), length)

    def backward(self, share: Tensor) -> None:
        """The gradients of a part's share in the loss, added to those that are there."""
        scaler = self.work.processes.scaler
        torch.autograd.backward(share if scaler is None else scaler.scale(share))

    def move(self) -> bool:
        """Move the weights and forget the gradients; False when float16 overflowed and the step was left out."""
        work = self.work
        try:
            moved = work.processes.step(work.optimizer)
        except (RuntimeError, MemoryError) as error:  # half moved weights cannot be gone on with
            if not is_out_of_memory(error):
                raise
            raise self._no_room_to_move() from error
        work.optimizer.zero_grad(set_to_none=True)
        return moved

    # --- memory -------------------------------------------------------------------------------------------------

    def fitted(self, attempt: Callable[[], Tensor]) -> Tensor:
        """Attempt something with less and less at once, until it fits into everybody's memory."""
        work = self.work
        while True:
            before = random_state(work.processes.device)
            sums = if_memory_suffices(attempt)
            (is_short,) = work.processes.agree(sums is None)
            if sums is not None and not is_short:
                return sums
            work.optimizer.zero_grad(set_to_none=True)
            free_unused(work.processes.device)
            set_random_state(before, work.processes.device)
            self._take_less()

    def room_to_move(self) -> Tensor | None:
        """As much memory as the optimiser will take at its first step, beside which everything else has to fit."""
        work = self.work
        if work.optimizer.state:
            return None
        count = sum(one.numel() for one in self.trained)
        size = optimizer_bytes(work.optimization, count)
        room = if_memory_suffices(lambda: torch.empty(size, dtype=torch.uint8, device=work.processes.device))
        if room is None:
            raise self._no_room_to_move()
        return room

    def _no_room_to_move(self) -> TrainingError:
        work, count = self.work, sum(one.numel() for one in self.trained)
        message = _("{device}: no memory is left for what {optim} remembers of {count:,} trained parameters")
        hint = _("take optim adamw_8bit, adafactor or sgd, or train less of the model (lora); {kept}")
        return TrainingError(
            message.format(device=work.processes.device, optim=work.optimization.optim, count=count),
            hint.format(kept=what_is_kept(work.run)),
        )

    def _take_less(self) -> None:
        """Smaller micro-batches, then gradient checkpointing; the updates stay what they are."""
        device, smaller = self.work.processes.device, self.effective.micro_batch // 2
        if smaller:
            self.effective = replace(self.effective, micro_batch=smaller)
            self.updates = self.updates.with_micro_batch(smaller)
            hint = _("an update is the same {rows} rows, so nothing changes but the speed").format(
                rows=self.updates.rows_per_update
            )
            message = _("{device}: out of memory; going on with micro-batches of {rows}")
            self.work.journal.warn(message.format(device=device, rows=smaller), hint)
        elif not self.effective.checkpointing:
            self.effective = replace(self.effective, checkpointing=True)
            self.forward.close()
            self.forward = self.work.make_forward(True)
            self.forward.train(True)
            message = _("{device}: out of memory with one row; going on with gradient checkpointing")
            self.work.journal.warn(message.format(device=device), _("it takes about a third more time"))
        else:
            raise TrainingError(
                _("{device}: out of memory with one row and gradient checkpointing").format(device=device),
                _("lower cutoff_len, take lora with quantization_bit 4, or a smaller model"),
            )
