"""The training loop, to be read from top to bottom.

What an update is depends on the stage: `RowLoop` learns from rows that lie ready, PPO draws its own. After each update
the loop looks around: a point of the curves, an evaluation, a checkpoint, a wish from outside. Everything that the next
update depends on is in `Progress`, in the checkpoint's tensors, or follows from the update's number, so a resumed run
is the same run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from core.engine.batches.order import Updates
from core.engine.control import StepAbandoned, StoppedEarly, Wanted
from core.engine.forward.choose import Forward
from core.engine.training.checkpoint import what_is_kept
from core.engine.training.descent import Descent
from core.engine.training.evaluate import Evaluated
from core.engine.training.memory import held_memory
from core.engine.training.progress import Effective, Progress, Window
from core.engine.training.random_state import seed_all, undisturbed
from core.engine.training.shelf import Shelf
from core.engine.training.work import Work
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
    """One segment of a run; a stage fills in what an update is."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.progress = Progress()
        self.descent = Descent(work)
        self.shelf = Shelf(work)
        self._rate = 0.0
        """The learning rate of the last update."""
        self._began = time.perf_counter()
        self._elapsed_before = 0.0
        self._first_step = 0
        self._saved_at = -1
        """The step of the last checkpoint."""

    @property
    def forward(self) -> Forward:
        return self.descent.forward

    @property
    def updates(self) -> Updates:
        return self.descent.updates

    @property
    def effective(self) -> Effective:
        return self.descent.effective

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
            reason = self._step()
        return self._end(reason)

    def _step(self) -> Reason | None:
        """An update, and whatever is due after it; the reason to end, if there is one."""
        try:
            self._update()
        except StepAbandoned:
            return self._stop_here()
        return self._look_around()

    def _begin(self) -> None:
        work = self.work
        work.processes.spread(self.descent.trained)
        self._prepare()
        if work.resumed_from is not None:
            self.progress = self.shelf.take_up(work.resumed_from)
            self._elapsed_before, self._first_step = self.progress.elapsed, self.progress.step
            if work.resumed_from == work.run.checkpoint(self.progress.step):
                self._saved_at = self.progress.step
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

    def rehearse(self) -> None:
        """The first update with what has to be known before it, and nothing around: for a plan, which keeps nothing."""
        self._prepare()
        self.forward.train(True)
        self._update()

    # --- what a stage does in its own way -------------------------------------------------------------------------

    def _prepare(self) -> None:
        """What has to be known before the first update. The weights are those that the training began with, before a
        checkpoint is taken up."""

    def _try_longest(self) -> None:
        """Meet a shortage of memory now, not in the middle of the night: on the longest batch that will come."""

    def _update(self) -> None:
        """One step of the run: learn, move the schedule on, set `_rate`, and count it in `progress`.

        Raises:
            StepAbandoned: a stop was wanted within it; everything is as it was before.
        """
        raise NotImplementedError

    def _evaluated(self) -> Evaluated:
        """What the evaluation rows say about the weights as they are; asked for where there are any."""
        raise NotImplementedError

    def results(self) -> dict[str, float]:
        """What the stage has to say of the whole training besides its loss."""
        return {}

    def leave_results(self, reason: Reason) -> None:
        """Write what a stage leaves besides the model, with the weights that are kept. Every process calls it, after
        the model is saved; an OSError costs nothing but these files."""

    def _advice(self, is_learnt: bool) -> str:
        """What to do after nonsense. The weights before it are saved where they are good, or nothing else is."""
        work = self.work
        if self.progress.step and (is_learnt or not work.run.saved_checkpoints()):
            self._save()
        advice = _("lower learning_rate ({rate:g} now), add warmup_steps, or look at the rows; {kept}")
        return advice.format(rate=work.optimization.learning_rate, kept=what_is_kept(work.run))

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

    def _stop_here(self) -> Reason:
        """End as after the last finished step, of which all but a checkpoint has been told."""
        step = self.progress.step
        if step == 0:
            raise StoppedEarly
        self._point()
        if self._ends_with_checkpoint("stopped") and self._saved_at != step:
            self._save()
        self.work.control.granted(Wanted(stop=True))
        return "stopped"

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
            metrics=window.means,
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
                found = self._evaluated()
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
        if self.shelf.save(self.progress, self.effective):
            self._saved_at = self.progress.step
        self.work.journal.stage("training")

    def _count_time(self) -> None:
        self.progress.elapsed = self._elapsed_before + time.perf_counter() - self._began

    def _remaining(self) -> float:
        done = self.progress.step - self._first_step
        spent = time.perf_counter() - self._began
        return spent / done * (self.work.total_steps - self.progress.step) if done else 0.0


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
