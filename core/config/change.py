"""Settings with some values replaced after loading, each with the reason, which a saved file shows behind the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config.load import Origin, Settings


def replaced(settings: Settings, changes: Mapping[str, tuple[Any, str]]) -> Settings:
    """The settings with other values.

    Args:
        changes: option → (value, why). An empty reason leaves the origin as it was.
    """
    sections = {
        kind: filled.model_copy(update={name: changes[name][0] for name in kind.model_fields if name in changes})
        for kind, filled in settings.sections.items()
    }
    origins = dict(settings.origins)
    for name, (_value, why) in changes.items():
        before = settings.origins[name]
        if why:
            origins[name] = Origin(before.source, "; ".join(filter(None, (before.where or before.source, why))))
    return Settings(sections, origins)
