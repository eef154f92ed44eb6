"""When a reinforcement learning goes wrong in one of the known ways, it is said, with what helps.

Each alarm is said once, and again only after it has been quiet for some steps: a number that wavers about its limit
fills no log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.i18n import _

_QUIET_STEPS = 5
_FIRST_STEPS = 3
_NEGATIVE_NATS = 0.5
_CHANCE_NATS = 7.0
"""All answers together so far below 0 come by chance once in a thousand times, at most."""
_FAR_NATS = 10.0
_FAR_TARGETS = 3.0
_COLLAPSED_SHARE = 0.25
_FEWEST_TOKENS = 2.0
_SHARED_RATE = 0.5
_CUT_RATE = 0.5
_FAR_KEPT = "far_eval_kl"


@dataclass(frozen=True)
class Seen:
    """A step, as alarms see it."""

    step: int
    answers: int
    kl: float
    """Nats an answer, on average."""
    tokens: float
    """Of an answer, on average."""
    reward_spread: float
    shared_rate: float
    """Answers whose text was given to another question too."""
    cut_rate: float = 0.0
    """Answers that did not end by themselves."""
    longest: int = 0
    """Tokens of the longest answer."""


@dataclass(frozen=True)
class Alarm:
    """What is wrong, and what to do."""

    name: str
    message: str
    hint: str


@dataclass
class Alarms:
    """Which alarms are on; a checkpoint remembers it."""

    target: float | None = None
    """Nats an answer that an adaptive coefficient aims at."""
    penalty: float = 0.0
    """What an answer that is cut off loses of its score."""
    lengths: list[float] = field(default_factory=list)
    """Mean tokens of an answer in the first steps."""
    quiet: dict[str, int] = field(default_factory=dict)
    """Alarms that were said, and for how many steps each has been quiet."""

    def news(self, seen: Seen, earlier: str = "") -> list[Alarm]:
        """The alarms of a step that have not been said.

        Args:
            earlier: the name of a checkpoint that could be gone back to, where there is one.
        """
        if len(self.lengths) < _FIRST_STEPS:
            self.lengths.append(seen.tokens)
        on = {alarm.name: alarm for alarm in self._on(seen, earlier)}
        new = [alarm for name, alarm in on.items() if name not in self.quiet]
        quiet = {name: 0 if name in {*on, _FAR_KEPT} else steps + 1 for name, steps in self.quiet.items()}
        self.quiet = {name: steps for name, steps in quiet.items() if steps < _QUIET_STEPS} | dict.fromkeys(on, 0)
        return new

    def news_of_evaluation(self, kl: float, step: int, earlier: str = "") -> list[Alarm]:
        """The alarm of a distance to the reference on rows that were kept, where it has not been said.

        Args:
            kl: nats an answer, on average.
        """
        if not kl > self.far:
            self.quiet.pop(_FAR_KEPT, None)
            return []
        if _FAR_KEPT in self.quiet:
            return []
        self.quiet[_FAR_KEPT] = 0
        message = _(
            "step {step}: answers to the evaluation rows lie {kl:.1f} nats from the reference, more than {limit:g}"
        )
        told = message.format(step=step, kl=kl, limit=self.far)
        return [Alarm(_FAR_KEPT, told, _with_earlier(_nearer(self.target), earlier))]

    @property
    def far(self) -> float:
        """Nats an answer from which on the reference is far."""
        return max(_FAR_NATS, _FAR_TARGETS * self.target if self.target is not None else 0.0)

    def _on(self, seen: Seen, earlier: str) -> Iterator[Alarm]:
        yield from _negative(seen)
        yield from _far(seen, self.target, self.far, earlier)
        yield from _collapsed(seen, math.fsum(self.lengths) / len(self.lengths), earlier)
        yield from _same_scores(seen)
        yield from _repeated(seen, earlier)
        yield from _cut_off(seen, self.penalty)

    def state_dict(self) -> dict[str, object]:
        """Numbers and names only."""
        return {"lengths": list(self.lengths), "quiet": dict(self.quiet)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take back what `state_dict` gave."""
        lengths, quiet = state["lengths"], state["quiet"]
        assert isinstance(lengths, list)
        assert isinstance(quiet, dict)
        self.lengths, self.quiet = list(lengths), dict(quiet)


def _negative(seen: Seen) -> Iterator[Alarm]:
    """Answers of the policy itself are likelier under it than under the reference, but for chance.

    reference / policy of what the policy draws has the mean 1, so that k answers fall n nats below 0 on average with a
    probability of at most e^(−kn) (Markov), however few they are and however they spread.
    """
    if seen.kl < -max(_NEGATIVE_NATS, _CHANCE_NATS / seen.answers):
        message = _(
            "step {step}: the distance to the reference is {kl:.2f} nats an answer, which it cannot be by chance"
        )
        hint = _(
            "answers are drawn from something else than what is trained: lower learning_rate or ppo_epochs, "
            "and take temperature 1"
        )
        yield Alarm("negative_kl", message.format(step=seen.step, kl=seen.kl), hint)


def _far(seen: Seen, target: float | None, limit: float, earlier: str) -> Iterator[Alarm]:
    if seen.kl > limit:
        message = _("step {step}: answers lie {kl:.1f} nats from the reference, more than {limit:g}")
        told = message.format(step=seen.step, kl=seen.kl, limit=limit)
        yield Alarm("far_kl", told, _with_earlier(_nearer(target), earlier))


def _nearer(target: float | None) -> str:
    """How a policy is kept near its reference."""
    if target is None:
        return _("raise ppo_kl_coef, or lower learning_rate")
    return _("raise ppo_kl_coef or lower ppo_horizon, so that ppo_target is kept, or lower learning_rate")


def _collapsed(seen: Seen, first: float, earlier: str) -> Iterator[Alarm]:
    if seen.tokens < max(_FEWEST_TOKENS, _COLLAPSED_SHARE * first):
        message = _("step {step}: answers have {tokens:.1f} tokens on average, at the beginning {first:.1f}")
        hint = _("look at the samples: the reward may like short answers; raise ppo_kl_coef or lower learning_rate")
        told = message.format(step=seen.step, tokens=seen.tokens, first=first)
        yield Alarm("short_answers", told, _with_earlier(hint, earlier))


def _same_scores(seen: Seen) -> Iterator[Alarm]:
    if seen.answers > 1 and seen.reward_spread == 0.0:
        message = _("step {step}: all {answers} answers have the same score, there is nothing to learn from")
        hint = _(
            "take a reward that tells answers apart, more answers a step (ppo_buffer_size), or a higher temperature"
        )
        yield Alarm("same_scores", message.format(step=seen.step, answers=seen.answers), hint)


def _repeated(seen: Seen, earlier: str) -> Iterator[Alarm]:
    if seen.shared_rate > _SHARED_RATE:
        message = _("step {step}: {share:.0%} of the answers were given to different questions in the same words")
        hint = _("the reward is being gamed: raise ppo_kl_coef or ppo_entropy_coef, or lower learning_rate")
        yield Alarm(
            "repeated_answers",
            message.format(step=seen.step, share=seen.shared_rate),
            _with_earlier(hint, earlier),
        )


def _cut_off(seen: Seen, penalty: float) -> Iterator[Alarm]:
    """Scorers read an answer up to where it stands: what it would have come to, they cannot know."""
    if seen.cut_rate > _CUT_RATE:
        message = _("step {step}: {share:.0%} of the answers are cut off at {longest} tokens, and scored as they stand")
        hint = (
            _("raise max_new_tokens; ppo_missing_eos_penalty takes {penalty:g} from their scores already")
            if penalty
            else _("raise max_new_tokens, or have them lose some of their score: ppo_missing_eos_penalty")
        )
        told = message.format(step=seen.step, share=seen.cut_rate, longest=seen.longest)
        yield Alarm("cut_answers", told, hint.format(penalty=penalty))


def _with_earlier(hint: str, earlier: str) -> str:
    if not earlier:
        return hint
    return _("{hint}; {checkpoint} is of before").format(hint=hint, checkpoint=earlier)
