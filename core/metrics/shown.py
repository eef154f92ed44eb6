"""Metrics as people read them: what a column is called, how a number and its interval are written."""

from __future__ import annotations

from core.metrics.catalog import METRICS, metric
from core.metrics.metric import Metric, Value


def described(name: str) -> Metric:
    """The metric of a name; one that is not in the catalogue is somebody's own number."""
    return metric(name) if name in METRICS else Metric(name, name, "", unit="number")


def number_text(value: float, name: str) -> str:
    """A metric's value: percent with two places, as they are printed in papers; other numbers with four digits."""
    return f"{value:.2f}" if described(name).unit == "percent" else f"{value:.4g}"


def interval_text(value: Value, name: str) -> str:
    """`16.00 – 33.00`; empty where there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"{number_text(value.low, name)} – {number_text(value.high, name)}"
