"""A row's score as tables and pages show it, beside `core.metrics.shown` for whole reports."""

from __future__ import annotations

import math
from collections.abc import Iterable

from core.metrics.shown import described, number_text

NONE = "–"
_TELLING = (
    "margin",
    "chosen_reward",
    "rejected_reward",
    "bleu-4",
    "rouge-l",
    "edit_similarity",
    "token_f1",
    "list_f1",
    "choice_accuracy",
    "reward",
    "loss",
)
_MOST = 4


def score_text(number: float | None, name: str) -> str:
    """The number of a metric; a dash where the row does not count."""
    return NONE if number is None or not math.isfinite(number) else number_text(number, name)


def heading(name: str) -> str:
    """What a metric's column is called."""
    return described(name).title


def is_percent(name: str) -> bool:
    """Whether a metric's values go from 0 to 100."""
    return described(name).unit == "percent"


def telling(names: Iterable[str]) -> list[str]:
    """Of the metrics of rows the few that say most about a single answer, beside whether it is right."""
    there = [name for name in names if name not in ("exact_match", "accuracy")]
    return sorted(there, key=lambda name: _TELLING.index(name) if name in _TELLING else len(_TELLING))[:_MOST]
