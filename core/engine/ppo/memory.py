"""What a reinforcement learning has to find again after a resume, besides weights, optimiser and counters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config.ppo import PPOOptions
from core.engine.ppo.alarms import Alarms
from core.engine.ppo.controller import KLController, RunningMoments


@dataclass
class PPOMemory:
    """The price of distance, the scores so far, the alarms that are on; see `Work.memory`."""

    controller: KLController
    alarms: Alarms
    moments: RunningMoments = field(default_factory=RunningMoments)
    rewards: RunningMoments = field(default_factory=RunningMoments)
    """Of the answers' scores as they came: what the results tell."""

    @classmethod
    def of(cls, options: PPOOptions) -> PPOMemory:
        """At the beginning."""
        adapts = options.ppo_adaptive_kl
        controller = KLController(options.ppo_kl_coef, adapts, options.ppo_target, options.ppo_horizon)
        return cls(controller, Alarms(options.ppo_target if adapts else None, options.ppo_missing_eos_penalty))

    def state_dict(self) -> Mapping[str, Any]:
        """Plain numbers, texts, lists and dictionaries."""
        return {
            "kl_coef": self.controller.coef,
            "alarms": dict(self.alarms.state_dict()),
            "moments": dataclasses.asdict(self.moments),
            "rewards": dataclasses.asdict(self.rewards),
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Take back what `state_dict` gave."""
        self.controller.coef = state["kl_coef"]
        self.alarms.load_state_dict(state["alarms"])
        self.moments = RunningMoments(**state["moments"])
        self.rewards = RunningMoments(**state["rewards"])
