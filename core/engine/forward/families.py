"""What is known of an architecture, beyond what every causal language model of transformers has.

Rows may only be laid end to end where the model hands our layout of them down to attention and where nothing but
attention looks from one token to another. Both are a matter of the code of each family, so it is a list, and the tests
train each of its members in both ways. Others are padded.
"""

from __future__ import annotations

from typing import Any

RAGGED_FAMILIES = frozenset(
    (
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "glm4",
        "llama",
        "mistral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
    )
)
"""By `model_type` of the config."""


def inner_model(network: Any) -> Any:
    """The transformers model below PEFT's wrapper, adapters injected."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def goes_ragged(model: Any) -> bool:
    """Whether rows may be laid end to end."""
    return model.config.model_type in RAGGED_FAMILIES and getattr(model.config, "is_causal", True) is not False
