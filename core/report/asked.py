"""The conversation that a row of a report was asked with, read again from its data set.

A report keeps the prompt as the model read it; who wants to ask the same question elsewhere, or to train on it, needs
the messages. They are found by the row's number under the evaluation's own options, and believed only while the
reference there is still the one that was scored: a set that was changed since gives nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from core.chat.message import Message
from core.data.examples import AllRows, ExampleSet, open_examples
from core.data.problems import RowProblem
from core.errors import DataError
from core.report.prediction import Prediction
from core.report.report import Report
from core.workspace import Workspace


class AskedRows:
    """The questions of a report's rows; none where its set is not here. Opening may take time."""

    def __init__(self, report: Report, workspace: Workspace) -> None:
        seed = report.config.get("seed")
        choices = _choices(report.config)
        self._examples: ExampleSet | None = None
        for name in _names(report):
            with contextlib.suppress(DataError, OSError):
                self._examples = open_examples([name], choices, workspace, seed=seed if type(seed) is int else 42)
                break

    def messages(self, row: Prediction) -> Sequence[Message]:
        """What was said before the answer; nothing where that is not known for certain."""
        if self._examples is None or row.choice is not None:  # of multiple choice only the prompt has the letters
            return ()
        try:
            *asked, answer = self._examples[row.row].messages
        except (IndexError, ValueError, RowProblem, OSError):
            return ()
        return asked if answer.content == row.label else ()


def _names(report: Report) -> list[str]:
    """What the set can be found by: its name in dataset_info.json, else its file."""
    files = report.data.files
    return [report.data.name, *(files if len(files) == 1 else ())] if report.data.name else []


def _choices(config: Mapping[str, Any]) -> AllRows:
    """Which rows an evaluation reads, of its options; one that has another type is as it is by default."""
    defaults = AllRows()
    given = {each.name: config.get(each.name, getattr(defaults, each.name)) for each in fields(AllRows)}
    given.update(mix_strategy=defaults.mix_strategy, interleave_probs=())
    return AllRows(**{name: value for name, value in given.items() if _fits(value, getattr(defaults, name))})


def _fits(value: object, default: object) -> bool:
    if default is None:
        return value is None or type(value) in (int, str)
    return type(value) is type(default)
