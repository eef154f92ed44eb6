"""What can be wrong with a data set: one finding, its place, and which kinds keep a training from starting.

A reader finds a `Fault` in a row without knowing where the row lies; with a `Place` it becomes a `DataProblem`, which
is told as `file:line: problem: what to do`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from core.errors import DataError
from core.i18n import _

Severity: TypeAlias = Literal["error", "warning"]

KINDS: Mapping[str, Severity] = {
    # a row that cannot be trained on as it is
    "broken_json": "error",
    "broken_text": "error",
    "broken_cells": "error",
    "wrong_type": "error",
    "missing_column": "error",
    "empty_question": "error",
    "empty_answer": "error",
    "empty_turn": "error",
    "history": "error",
    "roles": "error",
    "half_character": "error",
    "tools": "error",
    "media": "error",
    "same_answers": "error",
    # a set or a file that cannot be used at all
    "entry": "error",
    "file": "error",
    "empty_set": "error",
    # what one should know
    "encoding": "warning",
    "newlines": "warning",
    "lost_characters": "warning",
    "ignored_column": "warning",
    "duplicate": "warning",
    "contradiction": "warning",
    "leak": "warning",
    "repeated_rows": "warning",
    "changed_file": "warning",
    # said by the engine, which knows the tokens
    "cut": "warning",
    "no_trained_token": "error",
}
"""Every kind of problem, and whether a training stops at it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: the file, and the line that it begins in, from 1. Files without lines count rows."""

    file: Path
    line: int
    row: int = 0
    """Which of the file's rows it is, from 1, where several stand in that line; else 0."""

    def __str__(self) -> str:
        where = f"{shown_path(self.file)}:{self.line}"
        return _("{where}: row {row}").format(where=where, row=self.row) if self.row else where


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what to do; not yet where."""

    kind: str
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """A finding with its place, as it is told."""

    where: str
    """`file:line`, a file alone, or a set's name."""
    kind: str
    what: str
    hint: str = ""

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind]

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, self.what, self.hint)))


class RowProblem(DataError):
    """A row that cannot be used: the first of its faults, and where it stands."""

    def __init__(self, place: Place, fault: Fault) -> None:
        super().__init__(f"{place}: {fault.what}", fault.hint)
        self.place = place
        self.fault = fault

    @property
    def problem(self) -> DataProblem:
        return DataProblem(str(self.place), self.fault.kind, self.fault.what, self.fault.hint)


def shown_path(path: Path) -> str:
    """A path as it is typed from here: relative below the current folder, else whole."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
