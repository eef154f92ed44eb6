"""Whether test questions stand in the data that a model was trained on: then memory is measured, not ability.

Two questions are the same when all messages before the answer are, as `core.data.checks` compares them, whatever
columns, formats and files they come from; each turn of a conversation that was trained on is one. What was trained is
told by the notes beside the weights; how it was read, by the training's own configuration where that is still there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.chat.message import Message
from core.config.data import DataOptions
from core.config.load import load
from core.config.training import TRAINING
from core.data.examples import (
    AllRows,
    RowChoices,
    holds_comparisons,
    holds_questions,
    open_comparisons,
    open_examples,
    open_prompts,
)
from core.data.problems import RowProblem
from core.engine.evaluating.test_set import TestSet
from core.errors import FinetuiError
from core.i18n import _
from core.models.notes import AdapterNotes, read_notes
from core.untrusted import inert_line
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Leak:
    """What was found out about one test set."""

    seen: int | None = None
    """Test rows whose question was trained on; None: that data is not known, or not there."""
    training_sets: tuple[str, ...] = ()
    note: str = ""


class TrainedQuestions:
    """The questions that a model was trained on, read once."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        """Args:
        folder: of the adapter, or of a whole model.
        """
        self._gone: list[str] = []
        self._questions: set[int] = set()
        self.sets = tuple(dict.fromkeys(self._read(folder, workspace, set())))

    def _read(self, folder: Path, workspace: Workspace, been: set[Path]) -> Iterator[str]:
        """Read what was trained, also by the adapters that this one goes on from; yields the names of the sets."""
        notes = _notes(folder)
        if notes is None or folder in been:
            return
        been.add(folder)
        options = _training_options(folder)
        for name in notes.datasets:
            short = Path(name).name  # of a file; a set's name stays as it is
            yield short
            try:
                self._questions.update(_questions(name, options, workspace))
            except FinetuiError:
                self._gone.append(short)
        for merged in notes.chain:
            yield from self._read(Path(merged.path), workspace, been)

    def look(self, tests: TestSet) -> Leak:
        """How many rows of a test set are among them."""
        if not self.sets:
            return Leak()
        if self._gone:
            told = _("whether its questions were trained on is not known: {names} cannot be read any more")
            return Leak(None, self.sets, told.format(names=inert_line(", ".join(self._gone))))
        seen = sum(_key(row.messages) in self._questions for row in tests.rows)
        return Leak(seen, self.sets)


def _notes(folder: Path) -> AdapterNotes | None:
    try:
        return read_notes(folder)
    except FinetuiError:
        return None


def _training_options(folder: Path) -> RowChoices:
    """How the training read its rows: which columns, and how many of them."""
    for place in (folder, folder.parent.parent):  # a checkpoint lies in RUN/checkpoints/
        if (place / "config.yaml").is_file():
            try:
                return load(TRAINING, file=place / "config.yaml")[DataOptions]
            except FinetuiError:
                break
    return AllRows(on_bad_rows="skip")


def _questions(name: str, options: RowChoices, workspace: Workspace) -> Iterator[int]:
    if holds_comparisons(name, options, workspace):
        pairs = open_comparisons([name], options, workspace)
        for number in range(len(pairs)):
            with contextlib.suppress(RowProblem):
                yield _key(pairs[number].messages)
        return
    if holds_questions(name, options, workspace):
        prompts = open_prompts([name], options, workspace)
        for number in range(len(prompts)):
            with contextlib.suppress(RowProblem):
                yield _key(prompts[number].messages)
        return
    examples = open_examples([name], options, workspace)
    for number in range(len(examples)):
        try:
            messages = examples[number].messages
        except RowProblem:  # a row that was not trained on either
            continue
        yield from (_key(messages[:at]) for at, message in enumerate(messages) if message.role == "assistant")


def _key(messages: Sequence[Message]) -> int:
    return hash(tuple(message.content for message in messages))
