"""A metric of the user's own: a Python file with a function `metric(predict, label)`.

It runs as code that the user wrote and named. It returns a number, True or False, or None for a row that does not
count. The file may say more with `name`, `title`, `help`, `better` ("higher", "lower") and `unit` ("percent" for 0 to
100, "number"); a function that is annotated `-> bool` is a rate in percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args

from core.errors import MetricError
from core.i18n import _
from core.metrics.metric import Better, Measuring, Metric, Pair, Unit
from core.metrics.user_file import place_of, run_file, told_of


def metric_of_file(path: Path) -> Metric:
    """The metric that a file defines.

    Raises:
        MetricError: the file cannot be read or run, or what it says is no metric.
    """
    module = run_file(path)
    function = getattr(module, "metric", None)
    if not callable(function):
        what = _("{path}: there is no function metric(predict, label)")
        raise MetricError(what.format(path=path), _("define one that returns a number, True, False or None"))
    rate = getattr(function, "__annotations__", {}).get("return") in (bool, "bool")
    unit = _said(module, path, "unit", "percent" if rate else "number", get_args(Unit))
    name = _said(module, path, "name", path.stem)
    return Metric(
        name=name,
        title=_said(module, path, "title", name),
        help=_said(module, path, "help", (function.__doc__ or "").strip().partition("\n")[0]),
        unit=cast(Unit, unit),
        better=cast(Better, _said(module, path, "better", "higher", get_args(Better))),
        of_row=_of_row(function, path, 100.0 if unit == "percent" else 1.0),
        source=str(path.absolute()),
    )


def _said(module: ModuleType, path: Path, name: str, default: str, allowed: tuple[str, ...] = ()) -> str:
    value = getattr(module, name, default)
    if not isinstance(value, str) or (allowed and value not in allowed) or (name == "name" and not value):
        expected = ", ".join(repr(word) for word in allowed if word) or _("a text")
        what = _("{path}: {name} is {value}, expected {expected}")
        raise MetricError(what.format(path=path, name=name, value=repr(value)[:60], expected=expected))
    return value


def _of_row(function: Callable[[str, str], Any], path: Path, yes: float) -> Callable[[Pair, Measuring], float | None]:
    def of_row(pair: Pair, _measuring: Measuring) -> float | None:
        try:
            value = function(pair.predict, pair.label)
        except (Exception, SystemExit) as error:
            hint = _("return None for rows that do not count")
            raise MetricError(f"{place_of(error, path)}: {told_of(error)}", hint) from error
        if value is None:
            return None
        if value is True or value is False:
            return yes * value
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, str) or not math.isfinite(number):
            what = _("{path}: metric() returned {value}").format(path=path, value=repr(value)[:60])
            raise MetricError(what, _("return a number, True, False or None"))
        return number

    return of_row
