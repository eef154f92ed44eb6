"""The numbers of reports as people read them: the same in Markdown, HTML and the commands' tables."""

from __future__ import annotations

import math

from core.metrics.catalog import METRICS, metric
from core.metrics.metric import Metric, Value

NONE = "–"


def known_metric(name: str) -> Metric | None:
    """A metric of ours by its name; None for columns that are none, and for metrics of the user's own."""
    return metric(name) if name in METRICS else None


def heading(name: str) -> str:
    """What a metric or column is called in tables."""
    known = known_metric(name)
    return known.title if known else name


def is_percent(name: str) -> bool:
    """Whether a metric's values go from 0 to 100."""
    known = known_metric(name)
    return known is not None and known.unit == "percent"


def is_lower_better(name: str) -> bool:
    known = known_metric(name)
    return known is not None and known.better == "lower"


def number_text(name: str, number: float | None) -> str:
    """`84.09` of percent, four significant digits of anything else; a dash for none."""
    if number is None or not math.isfinite(number):
        return NONE
    return f"{number:.2f}" if is_percent(name) else f"{number:.4g}"


def interval_text(name: str, value: Value) -> str:
    """`76.00 – 91.00`, or nothing."""
    if value.low is None or value.high is None:
        return ""
    return f"{number_text(name, value.low)} – {number_text(name, value.high)}"
