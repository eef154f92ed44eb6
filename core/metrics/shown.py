"""Metrics as people read them: what a column is called, how a number and its interval are written.

What a metric of somebody's own is measured in stands in the reports that have it; it is learnt when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.metrics.catalog import METRICS, metric
from core.metrics.metric import Metric, Value

_learnt: dict[str, Metric] = {}


def learn(values: Mapping[str, Value]) -> None:
    """Keep in mind how metrics that are not in the catalogue are to be shown."""
    for name, value in values.items():
        if name not in METRICS:
            _learnt[name] = Metric(name, name, "", unit=value.unit, better=value.better)


def described(name: str) -> Metric:
    """The metric of a name; one that is in no catalogue and no report is a number, and more of it is better."""
    if name in METRICS:
        return metric(name)
    return _learnt.get(name) or Metric(name, name, "", unit="number")


def number_text(value: float, name: str) -> str:
    """A metric's value: percent with two places, as they are printed in papers; other numbers with four digits."""
    return f"{value:.2f}" if described(name).unit == "percent" else f"{value:.4g}"


def interval_text(value: Value, name: str) -> str:
    """`16.00 – 33.00`; empty where there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"{number_text(value.low, name)} – {number_text(value.high, name)}"


def signed_text(value: float, name: str) -> str:
    """`+3.20`, `-0.5`, `0.00`: a difference with its sign."""
    text = number_text(value, name)
    return f"+{text}" if value > 0 else text
