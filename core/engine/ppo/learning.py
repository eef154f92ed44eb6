"""Learning from a step's answers: some passes over them, a move of the optimiser for each minibatch.

A minibatch's loss is the sum over its tokens, of all micro-batches and processes, divided by their number: how it is
cut into pieces changes nothing of what is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.config.ppo import PPOOptions
from core.engine.batches.batch import Batch
from core.engine.ppo.lesson import Lesson
from core.engine.ppo.losses import TOLD, Clipping, summed_loss
from core.engine.ppo.minibatches import Minibatches
from core.engine.training.descent import Descent, Slope
from core.engine.tuning.headed import HeadedTunable


@dataclass(frozen=True)
class Learnt:
    """What the passes came to."""

    loss: float
    """Mean over the moves of the optimiser; so is the next, over those whose gradients have a length."""
    grad_norm: float
    told: Mapping[str, float]
    """By the names of `core.runs.quantities`."""
    first_log_ratio: float
    """The largest among this process's tokens of the first minibatch, before anything was learnt: 0."""
    has_moved: bool
    """Whether the weights moved at all: float16 may overflow."""


class Learner:
    """Moves a policy and its value head."""

    def __init__(self, descent: Descent, policy: HeadedTunable, options: PPOOptions) -> None:
        self._descent, self._policy, self._options = descent, policy, options
        self._clipping = Clipping(
            options.ppo_clip_range, options.ppo_clip_range_value, options.ppo_value_coef, options.ppo_entropy_coef
        )

    def minibatches(self) -> Minibatches:
        """How answers are divided; micro-batches are as small as memory has wanted them so far."""
        work = self._descent.work
        return Minibatches(
            work.optimization.per_device_train_batch_size,
            work.optimization.gradient_accumulation_steps,
            work.processes.world,
            work.processes.rank,
            work.optimization.seed,
            self._descent.effective.micro_batch,
        )

    def learn(self, lesson: Lesson, step: int, refuse: Callable[[Slope], None]) -> Learnt:
        """Pass over the answers.

        Args:
            step: the number of the update, which the order of the answers follows from.
            refuse: sees every slope before the weights go down it, and raises where they should not.
        """
        slopes, moves = list[Slope](), 0
        lengths, first = lesson.experience.lengths, list[float]()
        for number in range(self._options.ppo_epochs):
            for minibatch in self.minibatches().of_pass(len(lengths), step, number):
                tokens = sum(lengths[one] for one in minibatch)
                apart = first if not slopes else None
                slope = self._descent.slope(partial(self._try, lesson, minibatch, tokens, apart), tokens)
                refuse(slope)
                moves += self._descent.move()
                slopes.append(slope)
        return _learnt(slopes, max(first, default=0.0), moves > 0)

    def rehearse(self, lesson: Lesson) -> None:
        """Go through all of a lesson at once without moving, to see what fits into memory."""
        numbers, tokens = list(range(len(lesson.experience.answers))), sum(lesson.experience.lengths)
        self._descent.fitted(lambda: self._try(lesson, numbers, tokens, None))
        self._descent.work.optimizer.zero_grad(set_to_none=True)

    def _try(self, lesson: Lesson, minibatch: list[int], tokens: int, apart: list[float] | None) -> Tensor:
        """The sums of this process's share of a minibatch."""
        device = self._descent.work.processes.device
        total = torch.zeros(1 + len(TOLD), device=device)
        for numbers in self.minibatches().micro(minibatch):
            total += self._try_answers(lesson, numbers, tokens, apart)
        return total

    def _try_answers(self, lesson: Lesson, numbers: Sequence[int], tokens: int, apart: list[float] | None) -> Tensor:
        """Forward and backward through a micro-batch; [1 + told], the loss first, added up over its tokens."""
        processes, forward = self._descent.work.processes, self._descent.forward
        then = lesson.then_of(numbers, processes.device)
        with processes.autocast():
            states = forward.target_states(Batch([lesson.experience.answers[one].row for one in numbers]))
            own, entropy = self._probabilities(states.hidden, states.targets)
            loss, told = summed_loss(own, self._policy.values(states.hidden), entropy, then, self._clipping)
        if apart is not None:
            apart.append(float((own.detach() - then.log_probabilities).abs().max()))
        self._descent.backward(loss / tokens)
        return torch.cat([loss.detach().reshape(1), told])

    def _probabilities(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of the tokens, and the entropy where it is learnt from."""
        projection, temperature = self._descent.forward.projection, self._options.temperature
        if self._options.ppo_entropy_coef == 0.0:
            return projection.log_probabilities(hidden, targets, temperature), None
        return projection.log_probabilities_and_entropy(hidden, targets, temperature)


def _learnt(slopes: Sequence[Slope], first_log_ratio: float, has_moved: bool) -> Learnt:
    means = [math.fsum(each) / len(slopes) for each in zip(*(slope.means for slope in slopes), strict=True)]
    norms = [slope.norm for slope in slopes if math.isfinite(slope.norm)]
    norm = math.fsum(norms) / len(norms) if norms else math.inf
    return Learnt(means[0], norm, dict(zip(TOLD, means[1:], strict=True)), first_log_ratio, has_moved)
