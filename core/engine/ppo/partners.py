"""The models beside the policy: what it is held against, what scores its answers, and itself as one that answers.

The base's weights are there once: policy, reference and reward model are what each adds to them, where they are of the
same base.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from core.config.finetuning import FinetuningOptions
from core.config.model import BaseModelOptions
from core.config.output import OutputOptions
from core.config.ppo import PPOOptions
from core.config.preference import PreferenceOptions
from core.engine.batches.recipe import longest_answer
from core.engine.beside.models import Beside
from core.engine.beside.policy_runner import PolicyRunner
from core.engine.beside.reference import Reference, open_reference
from core.engine.forward.choose import Forward
from core.engine.ppo.rollouts import Roller
from core.engine.scorers.opening import open_scorer
from core.engine.scorers.scorer import Scorer
from core.engine.training.work import Work
from core.models.adapters import resolve_adapter
from core.models.reward_source import find_reward_source
from core.runs.events import ModelsBeside


@dataclass(frozen=True)
class Partners:
    """What a reinforcement learning needs besides the policy."""

    roller: Roller
    """Draws answers to learn from."""
    greedy: Roller
    """Gives the likeliest answers, for evaluations; so does the next, for probes."""
    prober: Roller
    reference: Reference
    scorer: Scorer

    def told(self) -> ModelsBeside:
        """Who they are, for the run's record."""
        identity = self.reference.identity
        return ModelsBeside(
            time.time(), identity.name, identity.sha256, identity.is_start, self.scorer.name, self.scorer.kind
        )


def open_partners(work: Work, forward: Callable[[], Forward]) -> Partners:
    """Open them all. The reference is what the policy is now, where no option names another.

    Args:
        forward: gives the training's forward, whenever it is asked.

    Raises:
        FinetuiError: one of them cannot be used.
    """
    ppo, model = work.settings[PPOOptions], work.settings[BaseModelOptions]
    longest = longest_answer(work.settings)
    adapters = [
        resolve_adapter(name, work.workspace).path for name in work.settings[FinetuningOptions].adapter_name_or_path
    ]
    policy = PolicyRunner(work.tunable, work.base)

    def roller(temperature: float, longest: int) -> Roller:
        return Roller(policy, temperature=temperature, max_new_tokens=longest, on_warning=work.journal.warn)

    return Partners(
        roller=roller(ppo.temperature, longest),
        greedy=roller(0.0, longest),
        prober=roller(0.0, max(1, work.settings[OutputOptions].probe_max_new_tokens)),
        reference=open_reference(
            work.tunable,
            work.base,
            ref_model=work.settings[PreferenceOptions].ref_model,
            adapters=adapters,
            forward=forward,
            options=model,
            workspace=work.workspace,
            policy=policy,
            on_warning=work.journal.warn,
        ),
        scorer=open_scorer(
            find_reward_source(ppo.reward_model or "", ppo.reward_model_type, work.workspace),
            Beside(work.tunable, work.base, model, policy),
            work.journal.warn,
        ),
    )
