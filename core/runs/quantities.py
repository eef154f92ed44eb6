"""What the stages of training tell at each point besides loss and learning rate: names, words, and what they mean.

Trainers write these names into `Step.metrics` (and, with `eval_` before them, evaluations into `Evaluation.metrics`);
screens, commands and pictures take words and order from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

TrainingStage: TypeAlias = Literal["sft", "rm", "dpo", "ppo"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of every point."""

    name: str
    label: str
    """A word or two."""
    about: str
    """What it is, with its unit, in a sentence."""
    leads: bool = False
    """Whether its curve is shown at first."""


_PAIRS = (
    Quantity("accuracy", "accuracy", "The share of pairs in which the better answer is ahead.", leads=True),
    Quantity("margin", "margin", "How far the better answer is ahead of the other, on average.", leads=True),
    Quantity("chosen_reward", "better", "What the better answers get, on average."),
    Quantity("rejected_reward", "worse", "What the worse answers get, on average."),
)

QUANTITIES: Mapping[TrainingStage, tuple[Quantity, ...]] = {
    "sft": (),
    "rm": _PAIRS,
    "dpo": (
        *_PAIRS,
        Quantity("chosen_logp", "log p better", "Log-probability of the better answers, in nats an answer."),
        Quantity("rejected_logp", "log p worse", "Log-probability of the worse answers, in nats an answer."),
    ),
    "ppo": (
        Quantity("reward", "reward", "The score of the answers, on average, as the reward model gives it.", leads=True),
        Quantity("kl", "KL", "The distance to the reference, in nats an answer; 0 at the first step.", leads=True),
        Quantity("entropy", "entropy", "How open the choice of a token is, in nats a token.", leads=True),
        Quantity("answer_tokens", "length", "Tokens of an answer, on average.", leads=True),
        Quantity("reward_spread", "reward spread", "The scores' standard deviation within the batch."),
        Quantity("reward_normalised", "reward, normalised", "The score as it is learnt from."),
        Quantity("kl_coef", "KL coefficient", "What a nat of distance costs."),
        Quantity("policy_loss", "policy loss", "The clipped objective's loss."),
        Quantity("value_loss", "value loss", "Half the squared error of the values, clipped."),
        Quantity("clip_fraction", "clipped", "The share of tokens whose probability moved beyond the clip range."),
        Quantity("approx_kl", "update's KL", "How far an update moved the policy, in nats a token."),
        Quantity("explained_variance", "explained", "The share of the returns' variance that the values foretell."),
        Quantity(
            "eos_rate", "ended", "The share of answers that ended by themselves; others are cut off at max_new_tokens."
        ),
        Quantity(
            "repeated_rate", "repeated", "The share of answers of the batch that are not the only one of their text."
        ),
        Quantity("rollout_seconds", "drawing", "Seconds to draw the answers."),
        Quantity("score_seconds", "scoring", "Seconds for scores, values and the reference's probabilities."),
        Quantity("update_seconds", "learning", "Seconds to learn from them."),
    ),
}


def stage_named(name: str) -> TrainingStage:
    """The stage of a name; sft for one that is not known, which is a run of others or of a newer finetui."""
    return next((stage for stage in QUANTITIES if stage == name), "sft")


def headline(stage: TrainingStage) -> str:
    """The curve that says in one line how a run of this stage goes: a policy's loss says nothing of its answers."""
    return {"sft": "loss", "rm": "accuracy", "dpo": "accuracy", "ppo": "reward"}[stage]
