"""The chat's settings between the configuration and a request.

Importing this imports pydantic (80 ms), so the chat does it after its first frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config.fields import FieldSpec, describe, shown
from core.config.generation import GenerationOptions
from core.config.load import load
from core.errors import ConfigError
from core.serve.protocol import Sampling

# The system prompt belongs to the conversation and has a field of its own.
_ELSEWHERE = ("default_system",)


def option_specs() -> list[FieldSpec]:
    """The options that the settings panel shows."""
    return [spec for spec in describe(GenerationOptions) if spec.name not in _ELSEWHERE]


def texts(options: GenerationOptions) -> dict[str, str]:
    """Every option as one would type it."""
    return {spec.name: shown(getattr(options, spec.name)) for spec in option_specs()}


def validated(values: Mapping[str, str]) -> GenerationOptions:
    """Options from typed texts; an empty text is the option's default.

    Raises:
        ConfigError: all that is wrong, each problem's `where` being the option's name.
    """
    return load([GenerationOptions], values={name: text for name, text in values.items() if text.strip()})[
        GenerationOptions
    ]


def with_change(options: GenerationOptions, name: str, text: str) -> GenerationOptions:
    """The options with one of them set anew.

    Raises:
        ConfigError: no such option, or not a value for it.
    """
    return validated({**texts(options), name: text})


def restored(values: Mapping[str, Any]) -> GenerationOptions:
    """Options as they were kept; what an older or hand-edited file says wrong counts as not said."""
    try:
        return validated({name: str(text) for name, text in values.items()})
    except ConfigError as error:
        wrong = {problem.where for problem in error.problems}
        kept = {name: str(text) for name, text in values.items() if name not in wrong}
        return validated(kept) if len(kept) < len(values) else GenerationOptions()


def sampling_of(options: GenerationOptions) -> Sampling:
    """What a worker is told."""
    return Sampling(
        temperature=0.0 if options.greedy else options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        stop=options.stop,
    )
