"""Whether a step is what it should be: checked in the run itself, and said where it is not."""

from __future__ import annotations

import math

from core.engine.ppo.alarms import Alarms, Seen
from core.engine.ppo.experience import Answer, Experience, spread
from core.engine.ppo.learning import Learnt
from core.engine.training.journal import Journal
from core.errors import TrainingError
from core.i18n import _
from core.untrusted import inert_line

_WIDE_NATS = 1e-3
"""More than float32 loses of a log-probability on its way through the same arithmetic twice."""
_NARROW_NATS = 0.1
"""In 16 bits."""
_SHOWN = 60


class Watch:
    """Looks at every step of a run.

    Args:
        is_start: whether the reference is the policy as it was before the first update.
        narrow: whether anything is computed in 16 bits.
    """

    def __init__(self, journal: Journal, alarms: Alarms, *, is_start: bool, narrow: bool) -> None:
        self._journal, self._alarms = journal, alarms
        self._is_start = is_start
        self._limit = _NARROW_NATS if narrow else _WIDE_NATS
        self._told_ratio = False

    def step(self, number: int, experience: Experience, learnt: Learnt, earlier: str) -> None:
        """A step that has been learnt from; the first has number 1.

        Args:
            earlier: the name of a checkpoint that could be gone back to, or nothing.
        """
        if number == 1 and self._is_start:
            self._check_beginning(experience)
        self._check_ratio(number, learnt.first_log_ratio)
        for alarm in self._alarms.news(seen_of(number, experience), earlier):
            self._journal.warn(alarm.message, alarm.hint)

    def evaluated(self, number: int, kl: float, earlier: str) -> None:
        """How far answers to questions lie that are not learnt from, after so many steps."""
        for alarm in self._alarms.news_of_evaluation(kl, number, earlier):
            self._journal.warn(alarm.message, alarm.hint)

    def _check_beginning(self, experience: Experience) -> None:
        """Before anything was learnt the policy is the reference."""
        opinions = experience.opinions
        largest = float((opinions.log_probabilities - opinions.reference).abs().max())
        if largest > self._limit:
            message = _("the distance to the reference is not 0 at the first step: {nats:.4f} nats at a token")
            hint = _("the reference is not what the training began with: do not trust this run's KL, and tell us")
            self._journal.warn(message.format(nats=largest), hint)

    def _check_ratio(self, number: int, largest: float) -> None:
        """Before anything was learnt of a step its answers are as likely as when they were drawn."""
        if largest > self._limit and not self._told_ratio:
            self._told_ratio = True
            message = _(
                "step {step}: answers are {nats:.4f} nats a token away from how they were drawn already before "
                "anything is learnt of them"
            )
            hint = _("the same answers are computed in different ways: give torch_compile false, or dtype float32")
            self._journal.warn(message.format(step=number, nats=largest), hint)


def seen_of(number: int, experience: Experience) -> Seen:
    """A step, as alarms see it."""
    count = len(experience.answers)
    return Seen(
        step=number,
        answers=count,
        kl=float(experience.distances.mean()),
        tokens=sum(experience.lengths) / count,
        reward_spread=spread(experience.scores),
        shared_rate=experience.shared_rate,
        cut_rate=sum(not answer.ended for answer in experience.answers) / count,
        longest=max(experience.lengths),
    )


def refuse_no_number(answers: list[Answer], number: int, reward: str, kept: str) -> None:
    """Stop where a score is no number: nothing can be learnt from it.

    Args:
        reward: who gives it, in words.
        kept: which checkpoints there are, as a phrase.

    Raises:
        TrainingError: with the answer that got it.
    """
    for answer in answers:
        if not math.isfinite(answer.score):
            message = _("step {step}: {reward} gives the reward {score} for an answer, which is no number")
            hint = _("the answer begins with {answer!r}: look at what the reward makes of it; {kept}")
            raise TrainingError(
                message.format(step=number, reward=reward, score=answer.score),
                hint.format(answer=inert_line(answer.text[:_SHOWN]), kept=kept),
            )
