"""Reinforcement learning from scores: PPO with GAE and a penalty on the distance to the reference.

Names are those of LLaMA-Factory; what it has no name for is called as TRL 0.4 did, with `ppo_` before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown
from core.config.foreign_stages import PLAYING, REWARD_KINDS
from core.errors import Problem
from core.i18n import _


class PPOOptions(Section):
    """How answers are drawn, scored, and learnt from (stage ppo)."""

    title: ClassVar[str] = "PPO"
    elsewhere: ClassVar[Mapping[str, str]] = PLAYING
    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {"reward_model_type": REWARD_KINDS}

    reward_model: Annotated[str | None, Field(min_length=1), Shown("MODEL")] = None
    """What scores answers: a run of stage rm, a classification model with one label, a Python function (`FILE.py:NAME`)
    or the address of a server."""

    reward_model_type: Literal["auto", "lora", "full", "function", "api"] = "auto"
    """What reward_model is. auto: as it looks."""

    ppo_epochs: Annotated[int, Field(ge=1)] = 4
    """Times that each batch of answers is learnt from."""

    ppo_buffer_size: Annotated[int, Field(ge=1)] = 1
    """Batches of answers that are drawn before they are learnt from; a batch is per_device_train_batch_size times
    gradient_accumulation_steps."""

    ppo_kl_coef: Annotated[float, Field(ge=0), Also("init_kl_coef", "kl_coef")] = 0.2
    """What a nat of distance to the reference costs; where it adapts, at the beginning."""

    ppo_adaptive_kl: Annotated[bool, Also("adap_kl_ctrl")] = True
    """Move ppo_kl_coef until answers lie ppo_target from the reference; false: leave it as it is."""

    ppo_target: Annotated[float, Field(gt=0), Also("target_kl")] = 6.0
    """The distance to the reference that is aimed at, in nats an answer."""

    ppo_horizon: Annotated[float, Field(gt=0), Also("horizon")] = 10000.0
    """Answers over which the coefficient adapts."""

    ppo_score_norm: Annotated[bool, Also("use_score_norm", "use_score_scaling")] = False
    """Bring scores to mean 0 and spread 1, by their running mean and spread."""

    ppo_whiten_rewards: Annotated[bool, Also("whiten_rewards")] = False
    """Bring rewards per token to spread 1 in each batch, before advantages are made of them."""

    ppo_gamma: Annotated[float, Field(gt=0, le=1), Also("gamma")] = 1.0
    """What a reward one token later is worth."""

    ppo_lambda: Annotated[float, Field(ge=0, le=1), Also("lam")] = 0.95
    """GAE: 0 trusts the values, 1 the rewards that came."""

    ppo_clip_range: Annotated[float, Field(gt=0), Also("cliprange")] = 0.2
    """A token's probability counts no further than this share away from what it was."""

    ppo_clip_range_value: Annotated[float, Field(gt=0), Also("cliprange_value")] = 0.2
    """A value counts no further than this away from what it was."""

    ppo_value_coef: Annotated[float, Field(ge=0), Also("vf_coef")] = 0.1
    """The weight of the values' loss."""

    ppo_entropy_coef: Annotated[float, Field(ge=0)] = 0.0
    """The weight of the entropy, which keeps answers from becoming all the same."""

    ppo_value_learning_rate: Annotated[float | None, Field(gt=0)] = None
    """The learning rate of the value head. Not given: learning_rate."""

    ppo_missing_eos_penalty: Annotated[float, Field(ge=0), Also("missing_eos_penalty")] = 0.0
    """What is taken from the score of an answer that does not end by itself. 0: what max_new_tokens cuts off is scored
    as if it ended there."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """How boldly answers are drawn. It is also the policy's: probabilities are those at this temperature."""

    max_new_tokens: Annotated[int | None, Field(ge=1)] = None
    """The longest answer that is drawn, in tokens. Not given: max_target_length, or else 128."""

    def conflicts(self) -> Iterator[Problem]:
        if self.reward_model_type != "auto" and self.reward_model is None:
            hint = _("name it with reward_model")
            yield Problem("reward_model_type", _("of which reward model?"), hint)
