"""The training loop, to be read from top to bottom.

An update's loss is the sum over all its tokens with loss, of all micro-batches and processes, divided by their number:
how an update is cut into pieces changes nothing of what is learnt. After each update the loop looks around: a point of
the curves, an evaluation, a checkpoint, a wish from outside. Everything that the next update depends on is in
`Progress`, in the checkpoint's tensors, or follows from the update's number, so a resumed run is the same run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.engine.batches.batch import Batch
from core.engine.control import Wanted
from core.engine.planning.memory import optimizer_bytes
from core.engine.shortage import is_out_of_memory
from core.engine.training.evaluate import evaluate
from core.engine.training.memory import free_unused, held_memory
from core.engine.training.nonsense import refuse_nonsense
from core.engine.training.progress import Progress, Window
from core.engine.training.random_state import random_state, seed_all, set_random_state, undisturbed
from core.engine.training.shelf import Shelf
from core.engine.training.work import Work
from core.errors import TrainingError
from core.i18n import _
from core.runs.events import Reason, Step


@dataclass(frozen=True)
class Ending:
    """How a training came to its end."""

    reason: Reason
    progress: Progress
    is_best: bool
    """Whether the weights are those of the best evaluation."""


class Loop:
    """One run of one segment."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.progress = Progress()
        self.updates = work.updates.with_micro_batch(work.effective.micro_batch)
        self.effective = work.effective
        self.forward = work.make_forward(work.effective.checkpointing)
        self.shelf = Shelf(work)
        self._trained = list(work.tunable.trained.values())
        self._began = time.perf_counter()
        self._elapsed_before = 0.0
        self._first_step = 0

    # --- the whole ----------------------------------------------------------------------------------------------

    def run(self) -> Ending:
        """Train to the end, or until somebody wants it to stop.

        Raises:
            TrainingError: it makes no sense to go on.
            StoppedEarly: a stop was wanted before the first update.
        """
        self._begin()
        reason: Reason | None = None
        while reason is None:
            self._update()
            reason = self._look_around()
        return self._end(reason)

    def _begin(self) -> None:
        work = self.work
        work.processes.spread(self._trained)
        if work.resumed_from is not None:
            self.progress = self.shelf.take_up(work.resumed_from)
            self._elapsed_before, self._first_step = self.progress.elapsed, self.progress.step
        else:
            seed_all(work.optimization.seed + work.processes.rank)  # no process draws the others' dropout
        self.forward.train(True)
        work.control.working()
        if work.processes.device.type != "cpu":  # where a CPU is short of memory, the system ends the process
            self._try_longest()
        if self.progress.step == 0:
            self._answer_probes()
        work.journal.stage("training")
        self._began = time.perf_counter()

    def _end(self, reason: Reason) -> Ending:
        work, best = self.work, self.progress.standing.best_step
        is_best = best is not None and best == self.progress.step
        if work.output.load_best_model_at_end and best is not None and not is_best:
            is_best = self.shelf.go_back_to(best)
        self._count_time()
        return Ending(reason, self.progress, is_best)

    # --- one update ---------------------------------------------------------------------------------------------

    def _update(self) -> None:
        work, began = self.work, time.perf_counter()
        numbers = self.updates.rows_of_update(self.progress.step)
        loss, norm = self._gradients(int(work.rows.targets[numbers].sum()))
        refuse_nonsense(
            loss,
            norm,
            step=self.progress.step + 1,
            may_overflow=work.processes.scaler is not None,
            advice=lambda: self._advice(is_learnt=loss == 0.0),
        )
        self._rate: float = work.optimizer.param_groups[0]["lr"]
        if self._move():
            work.schedule.step()
        work.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        tokens = int(work.rows.lengths[numbers].sum())
        self.progress.count(loss=loss, grad_norm=norm, rows=len(numbers), tokens=tokens, seconds=seconds)

    def _advice(self, is_learnt: bool) -> str:
        """What to do after nonsense. The weights before it are saved where they are good, or nothing else is."""
        work = self.work
        if self.progress.step and (is_learnt or not work.run.saved_checkpoints()):
            self._save()
        advice = _("lower learning_rate ({rate:g} now), add warmup_steps, or look at the rows; {kept}")
        return advice.format(rate=work.optimization.learning_rate, kept=self.shelf.what_is_kept())

    def _move(self) -> bool:
        """Move the weights; False when float16 overflowed. Half moved ones cannot be gone on with."""
        work = self.work
        try:
            return work.processes.step(work.optimizer)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._no_room_to_move() from error

    def _no_room_to_move(self) -> TrainingError:
        work, count = self.work, sum(one.numel() for one in self._trained)
        message = _("{device}: no memory is left for what {optim} remembers of {count:,} trained parameters")
        hint = _("take optim adamw_8bit, adafactor or sgd, or train less of the model (lora); {kept}")
        return TrainingError(
            message.format(device=work.processes.device, optim=work.optimization.optim, count=count),
            hint.format(kept=self.shelf.what_is_kept()),
        )

    def _gradients(self, targets: int) -> tuple[float, float]:
        """Fill the gradients of an update; its loss, and the gradients' length before they are shortened."""
        work = self.work
        loss = self._summed_loss(targets)
        (loss,) = work.processes.sum_gradients(self._trained, loss)
        if work.processes.scaler is not None:
            work.processes.scaler.unscale_(work.optimizer)
        longest = work.optimization.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self._trained, longest)
        found = torch.stack([loss / targets, norm.float()])
        return (found[0].item(), found[1].item())

    def _summed_loss(self, targets: int) -> Tensor:
        """Forward and backward through this process's micro-batches, in smaller ones when memory is short."""
        return self._fitted(lambda: self._try_batches(self.updates.update(self.progress.step), targets))

    def _try_longest(self) -> None:
        """Meet a shortage of memory now, not in the middle of the night: on the longest batch that will come."""
        work = self.work
        work.journal.stage("trying")
        kept = self._room_to_move()
        with undisturbed(work.processes.device):
            self._fitted(lambda: self._try_batches([self.updates.longest_batch()], 1))
        work.optimizer.zero_grad(set_to_none=True)
        del kept

    def _room_to_move(self) -> Tensor | None:
        """As much memory as the optimiser will take at its first step, beside which everything else has to fit."""
        work = self.work
        if work.optimizer.state:
            return None
        count = sum(one.numel() for one in self._trained)
        try:
            return torch.empty(
                optimizer_bytes(work.optimization, count), dtype=torch.uint8, device=work.processes.device
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._no_room_to_move() from error

    def _fitted(self, attempt: Callable[[], Tensor | None]) -> Tensor:
        """Attempt something with less and less at once, until it fits."""
        work = self.work
        while True:
            before = random_state(work.processes.device)
            loss = attempt()
            (is_short,) = work.processes.agree(loss is None)
            if loss is not None and not is_short:
                return loss
            work.optimizer.zero_grad(set_to_none=True)
            free_unused(work.processes.device)
            set_random_state(before, work.processes.device)
            self._take_less()

    def _try_batches(self, batches: list[list[int]], targets: int) -> Tensor | None:
        """The summed loss of batches, whose rows have so many targets; None when memory was too short for it."""
        work = self.work
        scaler = work.processes.scaler
        total = torch.zeros((), device=work.processes.device)
        try:
            for numbers in batches:
                with work.processes.autocast():
                    loss = self.forward.loss(Batch([work.rows.row(number) for number in numbers])).sum
                share = loss / targets
                torch.autograd.backward(share if scaler is None else scaler.scale(share))
                total += loss.detach()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return total

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

    # --- what happens between two updates -----------------------------------------------------------------------

    def _look_around(self) -> Reason | None:
        """Whatever is due after an update; the reason to end, if there is one."""
        work, step = self.work, self.progress.step
        wanted = work.control.look()
        wanted = Wanted(*work.processes.agree(wanted.stop, wanted.save, wanted.evaluate))
        reason: Reason | None = "completed" if step >= work.total_steps else "stopped" if wanted.stop else None
        if reason is not None or step % work.output.logging_steps == 0:
            self._point()
        found_best = False
        is_time = _is_due(step, work.steps_per_evaluation) or self._ends_with_evaluation(reason)
        if is_time or wanted.evaluate:
            found_best, gives_up = self._evaluate(uses_patience=is_time)
            reason = reason or ("early_stopping" if gives_up else None)
            if reason == "early_stopping":
                self._point()
        elif reason == "completed":  # who wants no evaluations still sees what became of the first answers
            self._answer_probes()
        keeps_best = found_best and work.output.load_best_model_at_end
        if wanted.save or keeps_best or _is_due(step, work.steps_per_checkpoint) or self._ends_with_checkpoint(reason):
            self._save()
        work.control.granted(wanted)
        return reason

    def _ends_with_evaluation(self, reason: Reason | None) -> bool:
        return reason == "completed" and self.work.steps_per_evaluation > 0

    def _ends_with_checkpoint(self, reason: Reason | None) -> bool:
        """What is stopped is to be gone on with; the rest is saved in the run's folder anyway."""
        if self.work.output.save_only_model:
            return False
        return reason == "stopped" or (reason is not None and self.work.steps_per_checkpoint > 0)

    def _point(self) -> None:
        """A point of the curves: means over the updates since the last one."""
        window, work, progress = self.progress.window, self.work, self.progress
        if window.updates == 0:
            return
        self._count_time()
        seconds = max(window.seconds, 1e-9)
        point = Step(
            time=time.time(),
            step=progress.step,
            total_steps=work.total_steps,
            epoch=self.updates.epoch_after(progress.step),
            loss=window.loss / window.updates,
            grad_norm=window.grad_norm / max(window.norms, 1),
            learning_rate=self._rate,
            rows=progress.rows,
            tokens=progress.tokens,
            rows_per_second=window.rows / seconds,
            tokens_per_second=window.tokens / seconds,
            elapsed=progress.elapsed,
            remaining=self._remaining(),
            memory=held_memory(work.processes.device),
        )
        work.journal.point(point, window.updates / seconds)
        progress.window = Window()

    def _evaluate(self, uses_patience: bool) -> tuple[bool, bool]:
        """Evaluate and answer the probes; whether it is the best so far, and whether patience is used up.

        Whoever looks between two evaluations may find a better model, and ends no training by looking.
        """
        work, progress = self.work, self.progress
        work.journal.stage("evaluating")
        best = gives_up = False
        if work.evaluation_sets:
            with undisturbed(work.processes.device):
                found = evaluate(
                    self.forward,
                    work.evaluation_sets,
                    work.processes,
                    batch_rows=work.optimization.per_device_eval_batch_size,
                    step=progress.step,
                    epoch=self.updates.epoch_after(progress.step),
                )
            if progress.evaluated_at != progress.step:  # the same weights again are no news
                since = progress.standing.since
                standing = work.judge.look(progress.standing, progress.step, found.judged)
                progress.standing = standing if uses_patience else replace(standing, since=min(since, standing.since))
                progress.evaluated_at = progress.step
            best = progress.standing.best_step == progress.step
            gives_up = work.judge.is_patience_used_up(progress.standing)
            self._count_time()
            work.journal.evaluated(found.marked(best), progress, self._remaining())
        self._answer_probes()
        work.journal.stage("training")
        return best, gives_up

    def _answer_probes(self) -> None:
        work = self.work
        if work.prober is None or not work.processes.is_main:
            return
        work.journal.stage("evaluating")
        self.forward.train(False)
        with undisturbed(work.processes.device), work.processes.autocast():
            for sample in work.prober.answer(self.progress.step):
                work.journal.tell(sample)
        self.forward.train(True)

    def _save(self) -> None:
        self.work.journal.stage("saving")
        self._count_time()
        self.shelf.save(self.progress, self.effective)
        self.work.journal.stage("training")

    def _count_time(self) -> None:
        self.progress.elapsed = self._elapsed_before + time.perf_counter() - self._began

    def _remaining(self) -> float:
        done = self.progress.step - self._first_step
        spent = time.perf_counter() - self._began
        return spent / done * (self.work.total_steps - self.progress.step) if done else 0.0


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
