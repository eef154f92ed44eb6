"""What is asked: the rows of a test set, each with its own id, its question, and the data file's answer, untouched.

All rows are read before anything is loaded, so that every mistake in them is told at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from core.chat.message import Message
from core.config.evaluation import EvaluatedDataOptions, PredictionOptions
from core.config.load import Settings
from core.data.checks import check
from core.data.choices import Choice, choice_messages, holds_choices, open_choices, subject_of
from core.data.example import Comparison, Example
from core.data.examples import RowSet, holds_comparisons, open_comparisons, open_examples
from core.data.problems import DataProblem, Place, RowProblem
from core.errors import DataError
from core.i18n import _, plural
from core.workspace import Workspace

T = TypeVar("T", Example, Comparison)


@dataclass(frozen=True, slots=True)
class TestRow:
    """A question and what should be answered."""

    __test__ = False  # pytest takes it for a test otherwise

    number: int
    """Among the rows of the set, from 0."""
    id: str
    messages: tuple[Message, ...]
    """Up to the question."""
    label: str
    letters: tuple[str, ...] = ()
    """In multiple choice: what may be answered."""


@dataclass(frozen=True, slots=True)
class ComparedRow(TestRow):
    """A question with two answers, of which a reward model is to tell the better one; that is the label."""

    __test__ = False

    worse: str = ""


@dataclass(frozen=True, slots=True)
class TestSet:
    """A test set, read."""

    __test__ = False

    name: str
    rows: tuple[TestRow, ...]
    files: tuple[Path, ...] = ()
    left_out: int = 0
    problems: tuple[DataProblem, ...] = ()
    """The first of those that rows were left out for."""
    notes: tuple[str, ...] = ()

    @property
    def is_choices(self) -> bool:
        return bool(self.rows and self.rows[0].letters)

    @property
    def is_compared(self) -> bool:
        """Whether each row has two answers."""
        return bool(self.rows and isinstance(self.rows[0], ComparedRow))

    @property
    def is_asked_once(self) -> bool:
        """Whether every time would tell the same: probabilities of letters and scores are not drawn."""
        return self.is_choices or self.is_compared

    def sha256(self) -> str:
        """Of its files, one after another; empty for a set of a hub."""
        total = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    total.update(piece)
        return total.hexdigest() if self.files else ""

    def asked(self) -> str:
        """SHA-256 of the rows: ids, questions and labels."""
        return hashlib.sha256(repr(self.rows).encode(errors="surrogatepass")).hexdigest()


def open_test_sets(settings: Settings, workspace: Workspace) -> tuple[TestSet, ...]:
    """The test sets of an evaluation, no two of one name.

    Raises:
        DataError: a set is not there or cannot be used; all bad rows are told, unless they are skipped.
    """
    options = settings[EvaluatedDataOptions]
    if not options.dataset:
        raise DataError(_("no data set is named"), _("name one with --dataset; finetui data list shows them"))
    found = [_open(name, options, settings[PredictionOptions].seed, workspace) for name in options.dataset]
    names = [one.name for one in found]
    return tuple(
        replace(one, name=typed) if names.count(one.name) > 1 else one
        for one, typed in zip(found, options.dataset, strict=True)
    )


def compares(tests: Sequence[TestSet]) -> bool:
    """Whether the rows of test sets have two answers each.

    Raises:
        DataError: those of some have, and those of others have not: nobody does both.
    """
    kinds = {one.is_compared: one.name for one in tests}
    if len(kinds) > 1:
        what = _("{pairs} has two answers to each question, {answers} has one").format(
            pairs=kinds[True], answers=kinds[False]
        )
        raise DataError(what, _("evaluate them apart: reward models score pairs, others answer"))
    return True in kinds


def _open(name: str, options: EvaluatedDataOptions, seed: int, workspace: Workspace) -> TestSet:
    if options.task == "choices" or (options.task == "auto" and holds_choices(name, options, workspace)):
        return _open_choices(name, options, workspace)
    if options.task == "comparisons" or (options.task == "auto" and holds_comparisons(name, options, workspace)):
        return _open_comparisons(name, options, seed, workspace)
    examples = open_examples([name], options, workspace, seed=seed)
    return _of(
        name,
        examples,
        lambda number, own, row: TestRow(number, own, row.messages[:-1], row.messages[-1].content),
        lambda: check([name], options, workspace).raise_if_it_stops(options.on_bad_rows),
    )


def _open_comparisons(name: str, options: EvaluatedDataOptions, seed: int, workspace: Workspace) -> TestSet:
    return _of(
        name,
        open_comparisons([name], options, workspace, seed=seed),
        lambda number, own, row: ComparedRow(number, own, row.messages, row.chosen, worse=row.rejected),
        lambda: check([name], options, workspace, kind="pairs").raise_if_it_stops(options.on_bad_rows),
    )


def _of(
    name: str, found: RowSet[T], made: Callable[[int, str, T], TestRow], tell_of_all: Callable[[], None]
) -> TestSet:
    """The rows of a set.

    Args:
        made: a row of its number, its id and what was read.
        tell_of_all: raises `DataError` with every mistake, once one was met.
    """
    try:
        read = [found[number] for number in range(len(found))]
    except RowProblem:
        tell_of_all()
        raise
    if not read:
        raise DataError(_("{name}: the set has no rows").format(name=name), _("write rows into it, or leave it out"))
    places = [found.place(number) for number in range(len(found))]
    ids, notes = _ids([_own_id(found, number) for number in range(len(found))], places)
    rows = tuple(made(number, ids[number], row) for number, row in enumerate(read))
    files = tuple(file for part in found.parts for file in part.rows.files)
    return TestSet(found.parts[0].entry.name, rows, files, found.left_out, found.problems, notes)


def _open_choices(name: str, options: EvaluatedDataOptions, workspace: Workspace) -> TestSet:
    found = open_choices(name, options, workspace)
    shots, notes = _shots(options, workspace)
    subject = subject_of(found.name)
    choices = [choice for choice, _place in found.rows]
    ids, more = _ids([choice.id for choice in choices], [place for _choice, place in found.rows])
    rows = tuple(
        TestRow(number, ids[number], choice_messages(choice, shots, subject), choice.answer, choice.letters)
        for number, choice in enumerate(choices)
    )
    return TestSet(found.name, rows, found.files, found.left_out, found.problems, (*notes, *more))


def _shots(options: EvaluatedDataOptions, workspace: Workspace) -> tuple[Sequence[Choice], tuple[str, ...]]:
    """The first solved questions of the other set."""
    if not options.n_shot or options.shot_dataset is None:
        return (), ()
    everything = options.model_copy(update={"max_samples": None})
    solved = [choice for choice, _place in open_choices(options.shot_dataset, everything, workspace).rows]
    shots = solved[: options.n_shot]
    many = plural("{count} solved question stands", "{count} solved questions stand", len(shots))
    note = _("{many} before each, of {name}").format(many=many, name=options.shot_dataset)
    if len(shots) < options.n_shot:
        note += _(", which has no more; {wanted} were asked for").format(wanted=options.n_shot)
    if options.shot_dataset in options.dataset:
        return shots, (note, _("the solved questions are of the test set itself, with their answers"))
    return shots, (note,)


# --- ids ---------------------------------------------------------------------------------------------------------


def _own_id(found: RowSet[T], number: int) -> str:
    own = found.row(number).get("id")
    return str(own) if isinstance(own, (str, int)) and not isinstance(own, bool) else ""


def _ids(own: Sequence[str], places: Iterable[Place]) -> tuple[list[str], tuple[str, ...]]:
    """The rows' own ids where every row has one and no two are the same, else where each row stands."""
    if all(own) and len(set(own)) == len(own):
        return list(own), ()
    told = (_("the data's own ids are not told: rows share them, or lack them"),) if any(own) else ()
    return list(_unique(_where(place) for place in places)), told


def _where(place: Place) -> str:
    return f"{place.file.name}:{place.line}" + (f":{place.row}" if place.row else "")


def _unique(names: Iterable[str]) -> Iterator[str]:
    """A row that is sampled twice, and files of one name in several folders, are counted."""
    seen: dict[str, int] = {}
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        yield name if count == 1 else f"{name}#{count}"
