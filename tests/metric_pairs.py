"""Answers with what they should have been, as tests of metrics write them."""

from __future__ import annotations

from collections.abc import Sequence

from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring, Pair
from core.metrics.score import score

FEW = Measuring(bootstrap=200)
"""Intervals at little cost."""
NONE = Measuring(bootstrap=0)


def pairs_of(*rows: tuple[str, str]) -> list[Pair]:
    """Answer and label of each row."""
    return [Pair(predict, label) for predict, label in rows]


def told(pairs: Sequence[Pair], *names: str, measuring: Measuring = NONE) -> dict[str, list[str]]:
    """Artefacts by metric."""
    found: dict[str, list[str]] = {}
    for artefact in score(pairs, find_metrics(names) if names else None, measuring).artefacts:
        found.setdefault(artefact.metric, []).append(artefact.message)
    return found
