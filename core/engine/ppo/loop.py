"""The loop of stage ppo: an update draws answers, scores them, and learns from them.

One update of the run is one of these steps: schedule, points, checkpoints and wishes count them as they count the
updates of every other stage. What the next step depends on besides weights and optimiser (the price of distance, the
scores' moments, the alarms that are on) is remembered in checkpoints; what is drawn, and in which order it is learnt
from, follows from the seed and the step's number. Collecting changes nothing of all that, so a stop that comes then
abandons the step; once learning has begun, a stop waits for its end.
"""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import nn

from core.config.ppo import PPOOptions
from core.engine.batches.prompts import PromptRows
from core.engine.batches.recipe import longest_answer
from core.engine.control import StepAbandoned
from core.engine.ppo.collecting import Collected, Collector
from core.engine.ppo.examining import Examiner
from core.engine.ppo.learning import Learner, Learnt
from core.engine.ppo.lesson import Lesson, lesson_of, longest_lesson
from core.engine.ppo.memory import PPOMemory
from core.engine.ppo.partners import open_partners
from core.engine.ppo.watch import Watch, refuse_no_number
from core.engine.training.checkpoint import what_is_kept
from core.engine.training.descent import Slope
from core.engine.training.evaluate import Evaluated
from core.engine.training.heap import give_back_freed_memory
from core.engine.training.loop import Loop
from core.engine.training.nonsense import refuse_nonsense
from core.engine.training.random_state import random_state, set_random_state, undisturbed
from core.engine.training.work import Work
from core.engine.tuning.headed import HeadedTunable
from core.i18n import _

_SEEDS_APART = 1_000_003
"""Between the seeds of two runs whose own seeds are neighbours: more than a run has steps."""


class PPOLoop(Loop):
    """Learns from scores of the model's own answers."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        if not isinstance(work.tunable, HeadedTunable) or not isinstance(work.rows, PromptRows):
            raise TypeError("stage ppo needs a value head, and questions as rows")
        self.policy, self.rows = work.tunable, work.rows
        self.options = work.settings[PPOOptions]
        self.memory = PPOMemory.of(self.options)
        work.memory = self.memory
        still(self.policy.network)
        self._answered_at = -1
        """The step of the last answers to probes."""

    def _prepare(self) -> None:
        """The models beside the policy. The reference is what the policy is now, before a checkpoint is taken up."""
        work = self.work
        work.journal.stage("reference")
        self.partners = open_partners(work, lambda: self.forward)
        self.learner = Learner(self.descent, self.policy, self.options)
        self.collector = Collector(self.descent, self.policy, self.partners, self.options.temperature)
        self.examiner = Examiner(work, self.collector, self.partners)
        narrow = self.policy.network.dtype != torch.float32 or work.optimization.bf16 or work.optimization.fp16
        is_start = self.partners.reference.identity.is_start
        self.watch = Watch(work.journal, self.memory.alarms, is_start=is_start, narrow=narrow)
        work.journal.tell(self.partners.told())

    def _try_longest(self) -> None:
        self.work.journal.stage("trying")
        kept = self.descent.room_to_move()
        longest = [self.rows.row(number).ids.tolist() for number in self.updates.longest_batch()]
        with undisturbed(self.work.processes.device):
            self.learner.rehearse(longest_lesson(longest, longest_answer(self.work.settings)))
        del kept

    # --- one step -----------------------------------------------------------------------------------------------

    def _update(self) -> None:
        began, step = time.perf_counter(), self.progress.step
        collected = self._collected(step)
        experience, price = collected.experience, self.memory.controller.coef
        told = experience.told()
        lesson = lesson_of(experience, self.options, price, self.memory.moments)
        self.memory.rewards.learn(experience.scores)
        self.memory.controller.learn(told["kl"], len(experience.answers))
        then = time.perf_counter()
        learnt = self._learn(lesson, step)
        metrics = {
            **told,
            **lesson.told(),
            **learnt.told,
            "kl_coef": price,
            "rollout_seconds": collected.rollout_seconds,
            "score_seconds": collected.score_seconds,
            "update_seconds": time.perf_counter() - then,
        }
        self.progress.count(
            loss=learnt.loss,
            grad_norm=learnt.grad_norm,
            rows=len(experience.answers),
            tokens=experience.tokens,
            seconds=time.perf_counter() - began,
            metrics=metrics,
        )
        self.watch.step(self.progress.step, experience, learnt, self._earlier())
        give_back_freed_memory()

    def _collected(self, step: int) -> Collected:
        """The step's answers, read in the micro-batches of the first pass over them."""
        numbers: list[int] = self.updates.rows_of_update(step).tolist()

        def portions() -> list[list[int]]:
            batches = self.learner.minibatches()
            return [part for each in batches.of_pass(len(numbers), step, 0) for part in batches.micro(each)]

        seed = self.work.optimization.seed * _SEEDS_APART + step
        device, stops = self.work.processes.device, self.work.control.wants_stop
        before = random_state(device)
        try:
            collected = self.collector.collect(self.rows, numbers, self.partners.roller, seed, portions, stops)
        except StepAbandoned:
            set_random_state(before, device)  # a reward function may have drawn numbers
            raise
        answers = list(collected.experience.answers)
        refuse_no_number(answers, step + 1, self.partners.scorer.name, what_is_kept(self.work.run))
        return collected

    def _learn(self, lesson: Lesson, step: int) -> Learnt:
        work = self.work
        self._rate = work.optimizer.param_groups[0]["lr"]
        learnt = self.learner.learn(lesson, step, partial(self._refuse, step + 1))
        if learnt.has_moved:
            work.schedule.step()
        return learnt

    def _refuse(self, number: int, slope: Slope) -> None:
        refuse_nonsense(
            slope.means[0],
            slope.norm,
            step=number,
            may_overflow=self.work.processes.scaler is not None,
            ends_at_zero=False,  # where all answers have the same score there is nothing to learn, for now
            advice=self._advice_of_divergence,
        )

    def _advice_of_divergence(self) -> str:
        """The weights may have gone some way within this step already: what is saved is what is whole."""
        advice = _("lower learning_rate ({rate:g} now), or raise ppo_kl_coef; {kept}")
        return advice.format(rate=self.work.optimization.learning_rate, kept=what_is_kept(self.work.run))

    def _earlier(self) -> str:
        """A checkpoint that could be gone back to, by its name."""
        saved = self.work.run.saved_checkpoints()
        return saved[-1].name if saved else ""

    # --- between two steps --------------------------------------------------------------------------------------

    def _evaluated(self) -> Evaluated:
        step = self.progress.step
        found = self.examiner.evaluated(step, self.updates.epoch_after(step))
        self.watch.evaluated(step, found.metrics["kl"], self._earlier())
        return found

    def results(self) -> dict[str, float]:
        """The mean of all scores, and where the price of distance ended."""
        return {"reward": self.memory.rewards.mean, "kl_coef": self.memory.controller.coef}

    def _answer_probes(self) -> None:
        work, step = self.work, self.progress.step
        if not work.data.probes or not work.processes.is_main or self._answered_at == step:
            return
        self._answered_at = step
        work.journal.stage("evaluating")
        with undisturbed(work.processes.device):
            for sample in self.examiner.samples(step):
                work.journal.tell(sample)

    def _save(self) -> None:
        """With what the policy answers then: which checkpoint to keep is told by reading."""
        super()._save()
        self._answer_probes()
        self.work.journal.stage("training")


def still(network: nn.Module) -> None:
    """No dropout, in no pass: an answer would be of another probability each time.

    Families have it as modules, or as numbers of many names (`dropout`, `hidden_dropout`, `layerdrop`).
    """
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
