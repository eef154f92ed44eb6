"""How many parameters PPO holds besides the policy: what it is held against, and what scores its answers.

A model on the policy's own base costs what it adds to it; any other one is there whole. Functions and servers cost
nothing here.
"""

from __future__ import annotations

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.ppo import PPOOptions
from core.config.preference import PreferenceOptions
from core.models.candidates import base_of, resolve_candidate
from core.models.info import AdapterInfo, ModelInfo
from core.models.reward_source import find_reward_source
from core.workspace import Workspace


def parameters_beside(settings: Settings, policy: ModelInfo, trainable: int, workspace: Workspace) -> int:
    """The parameters of reference and reward model.

    Args:
        policy: the base that is trained.
        trainable: parameters, of which the reference is a copy where no option names another.

    Raises:
        FinetuiError: one of them is not there, or is none.
    """
    ppo, method = settings[PPOOptions], settings[FinetuningOptions]
    if method.stage != "ppo":
        return 0
    adds = method.finetuning_type in ("lora", "p_tuning") and not merges(method)

    def cost(adapter: AdapterInfo | None, base: ModelInfo | None) -> int:
        is_shared = adds and base is not None and base.path.resolve() == policy.path.resolve()
        own = 0 if is_shared or base is None else base.parameters
        return own + (adapter.parameters if adapter is not None else 0)

    source = find_reward_source(ppo.reward_model or "", ppo.reward_model_type, workspace)
    reference = settings[PreferenceOptions].ref_model
    if reference is None:
        return trainable + cost(source.adapter, source.model)
    found = resolve_candidate(reference, workspace)
    adapter = found if isinstance(found, AdapterInfo) else None
    base = base_of(adapter, workspace) if adapter is not None else found
    return cost(adapter, base if isinstance(base, ModelInfo) else None) + cost(source.adapter, source.model)


def merges(method: FinetuningOptions) -> bool:
    """Whether adapters go into the base's weights, which are nobody else's then."""
    given = len(method.adapter_name_or_path)
    return given > 1 or (given == 1 and method.create_new_adapter)
