"""What is measured on answers that are there: the options of `finetui score`, and a part of every evaluation's."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from core.config.fields import Section, Shown, SplitAt


class MeasuringOptions(Section):
    """What is measured."""

    title: ClassVar[str] = "Metrics"

    metrics: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """Metrics by name (`finetui score --list`), `all`, or Python files with a function `metric(predict, label)`.
    Empty: those that fit the answers."""

    long_label: Annotated[int, Field(ge=0)] = 10
    """Labels longer than this many characters count for the exact match of long answers."""

    list_separator: Annotated[str, Field(min_length=1), Shown("TEXT")] = "|"
    """What stands between the items of answers that are lists."""

    bootstrap: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """Resamples for the 95 % interval of each number. 0: no intervals."""
