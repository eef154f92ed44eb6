"""A row's score as tables and pages show it, beside `core.metrics.shown` for whole reports."""

from __future__ import annotations

import math

from core.metrics.shown import described, number_text

NONE = "–"


def score_text(number: float | None, name: str) -> str:
    """The number of a metric; a dash where the row does not count."""
    return NONE if number is None or not math.isfinite(number) else number_text(number, name)


def heading(name: str) -> str:
    """What a metric's column is called."""
    return described(name).title


def is_percent(name: str) -> bool:
    """Whether a metric's values go from 0 to 100."""
    return described(name).unit == "percent"
