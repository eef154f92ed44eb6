"""The loop of the stages whose rows lie ready (sft, rm, dpo): an update minimises an objective over some of them.

An update's loss is the sum over all its units (tokens with loss, or pairs), of all micro-batches and processes, divided
by their number: how an update is cut into pieces changes nothing of what is learnt.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from core.engine.objectives.objective import Objective
from core.engine.training.evaluate import Evaluated, evaluate
from core.engine.training.loop import Loop
from core.engine.training.nonsense import refuse_nonsense
from core.engine.training.random_state import undisturbed
from core.engine.training.work import Work
from core.runs.events import Reason


class RowLoop(Loop):
    """Learns from rows."""

    def __init__(self, work: Work, objective: Objective) -> None:
        super().__init__(work)
        self.objective = objective

    def _prepare(self) -> None:
        self.objective.begin(self.forward)

    def leave_results(self, reason: Reason) -> None:
        if reason != "stopped":  # who stops a run wants no more work of it, and may go on with it
            self.objective.end(self.forward)

    def _update(self) -> None:
        work, began = self.work, time.perf_counter()
        numbers = self.updates.rows_of_update(self.progress.step)
        units = int(work.rows.targets[numbers].sum())
        slope = self.descent.slope(lambda: self._try_batches(self.updates.update(self.progress.step), units), units)
        loss, *counted = slope.means
        refuse_nonsense(
            loss,
            slope.norm,
            step=self.progress.step + 1,
            may_overflow=work.processes.scaler is not None,
            ends_at_zero=self.objective.ends_at_zero,
            advice=lambda: self._advice(is_learnt=loss == 0.0),
        )
        self._rate = work.optimizer.param_groups[0]["lr"]
        if self.descent.move():
            work.schedule.step()
        seconds = time.perf_counter() - began
        tokens = int(work.rows.lengths[numbers].sum())
        metrics = dict(zip(self.objective.point_names, counted, strict=True))
        self.progress.count(
            loss=loss, grad_norm=slope.norm, rows=len(numbers), tokens=tokens, seconds=seconds, metrics=metrics
        )

    def _try_batches(self, batches: list[list[int]], units: int) -> Tensor:
        """The summed loss and counts of batches, whose rows have so many units."""
        work, objective = self.work, self.objective
        names = objective.point_names
        total = torch.zeros(1 + len(names), device=work.processes.device)
        for numbers in batches:
            with work.processes.autocast():
                measured = objective.measure(self.forward, work.rows, numbers)
            self.descent.backward(measured.sum / units)
            total[0] += measured.sum.detach()
            for place, name in enumerate(names, 1):
                total[place] += measured.counted[name]
        return total

    def _try_longest(self) -> None:
        self.work.journal.stage("trying")
        kept = self.descent.room_to_move()
        with undisturbed(self.work.processes.device):
            self.descent.fitted(lambda: self._try_batches([self.updates.longest_batch()], 1))
        self.work.optimizer.zero_grad(set_to_none=True)
        del kept

    def _evaluated(self) -> Evaluated:
        work = self.work
        return evaluate(
            self.forward,
            self.objective,
            work.evaluation_sets,
            work.processes,
            batch_rows=work.optimization.per_device_eval_batch_size,
            step=self.progress.step,
            epoch=self.updates.epoch_after(self.progress.step),
        )
