"""The rows of a training: one or several sets, mixed and sampled as the options say, each an `Example` by its number.

Numbers are stable: the same files, options and seed give the same row for the same number, in every process. Nothing is
held but numbers; a row is read and converted when it is asked for. A bad row raises when it is asked for, or, with
`on_bad_rows: skip`, was found by one pass over all rows and has no number.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from core.config.stages import RowKind
from core.data.catalog import Catalog, DatasetEntry, read_catalog
from core.data.example import Comparison, Example, Prompt
from core.data.formats import ColumnChoice, RowShape, read_comparison, read_example, read_prompt, shape_of
from core.data.mixing import interleaved, read_probabilities, sampled
from core.data.problems import DataProblem, Fault, Place, RowProblem
from core.data.rows import Rows, open_rows
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json
from core.models.info import typed_path
from core.workspace import Workspace

T = TypeVar("T", Example, Comparison, Prompt)
Converter: TypeAlias = Callable[[Json, RowShape], tuple[T | None, list[Fault]]]

_KEPT_PROBLEMS = 100


class RowChoices(ColumnChoice, Protocol):
    """The options that say which rows are read; `core.config.data.DataOptions` is one."""

    @property
    def dataset_dir(self) -> str: ...
    @property
    def max_samples(self) -> int | None: ...
    @property
    def mix_strategy(self) -> Literal["concat", "interleave_under", "interleave_over"]: ...
    @property
    def interleave_probs(self) -> tuple[str, ...]: ...
    @property
    def on_bad_rows(self) -> Literal["stop", "skip"]: ...


@dataclass(frozen=True, slots=True)
class AllRows:
    """Every row, as the sets describe themselves: the options' defaults, without the options."""

    dataset_dir: str = "data"
    max_samples: int | None = None
    mix_strategy: Literal["concat", "interleave_under", "interleave_over"] = "concat"
    interleave_probs: tuple[str, ...] = ()
    on_bad_rows: Literal["stop", "skip"] = "stop"
    prompt_column: str | None = None
    response_column: str | None = None
    history_column: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file that rows came from, for a run's record."""

    dataset: str
    path: str
    """The file, or the set's id on a hub."""
    size: int
    sha256: str
    """Empty for a set of a hub."""


@dataclass(frozen=True)
class Part(Generic[T]):
    """A data set among those of a training."""

    entry: DatasetEntry
    rows: Rows
    shape: RowShape
    numbers: Sequence[int]
    """Which of its rows are used, in their order."""
    left_out: int = 0
    problems: tuple[DataProblem, ...] = ()
    """The first of those that rows were left out for."""


@dataclass(frozen=True)
class RowSet(Generic[T]):
    """Converted rows by their numbers, from 0."""

    parts: tuple[Part[T], ...]
    convert: Converter[T]
    mixed: Sequence[int] | None = None
    """Numbers in the joined numbering of the parts; None: joined as they are."""
    _ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends.extend(accumulate(len(part.numbers) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self.mixed is None else len(self.mixed)

    def __getitem__(self, number: int) -> T:
        """A row, converted.

        Raises:
            RowProblem: it has faults; the first is told.
            IndexError: there is no such row.
        """
        part, inner = self._find(number)
        row, place = part.rows[inner]
        example, faults = self.convert(row, part.shape)
        if example is None:
            raise RowProblem(place, faults[0])
        return example

    def row(self, number: int) -> Json:
        """A row as it stands in its file."""
        part, inner = self._find(number)
        return part.rows[inner][0]

    def place(self, number: int) -> Place:
        """Where a row stands."""
        part, inner = self._find(number)
        return part.rows.place(inner)

    def dataset(self, number: int) -> str:
        """The name of the set that a row is of."""
        return self._find(number)[0].entry.name

    @property
    def left_out(self) -> int:
        """How many rows were left out because something is wrong with them."""
        return sum(part.left_out for part in self.parts)

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """Why: the first of them."""
        return tuple(problem for part in self.parts for problem in part.problems)[:_KEPT_PROBLEMS]

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every file with its size and hash, which is computed now."""
        return tuple(source for part in self.parts for source in sources_of(part.entry, part.rows))

    def _find(self, number: int) -> tuple[Part[T], int]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if self.mixed is not None:
            number = self.mixed[number]
        at = bisect_right(self._ends, number)
        part = self.parts[at]
        return part, part.numbers[number - (self._ends[at - 1] if at else 0)]


ExampleSet: TypeAlias = RowSet[Example]
ComparisonSet: TypeAlias = RowSet[Comparison]
PromptSet: TypeAlias = RowSet[Prompt]


def open_examples(
    names: Sequence[str], options: RowChoices | None, workspace: Workspace, *, seed: int = 42
) -> ExampleSet:
    """The rows of some sets as examples.

    Args:
        names: sets of dataset_info.json, or files.
        options: which rows, how mixed; None takes all.
        seed: for `num_samples` and interleaving.

    Raises:
        DataError: a set is not there, cannot be read, holds rankings or no answers, or has no usable row.
    """
    return _open(names, options or AllRows(), workspace, seed, read_example, "answers")


def open_comparisons(
    names: Sequence[str], options: RowChoices | None, workspace: Workspace, *, seed: int = 42
) -> ComparisonSet:
    """The rows of some ranking sets as comparisons; otherwise like `open_examples`."""
    return _open(names, options or AllRows(), workspace, seed, read_comparison, "pairs")


def open_prompts(
    names: Sequence[str], options: RowChoices | None, workspace: Workspace, *, seed: int = 42
) -> PromptSet:
    """The questions of some sets, whether they bring an answer, two or none; otherwise like `open_examples`."""
    return _open(names, options or AllRows(), workspace, seed, read_prompt, "prompts")


def open_held(
    name: str, options: RowChoices | None, workspace: Workspace, *, seed: int = 42
) -> RowSet[Example] | RowSet[Comparison] | RowSet[Prompt]:
    """A set as what it holds itself, whatever is to be done with it; otherwise like `open_examples`."""
    entry = find_entries([name], read_catalog(data_folder(options or AllRows(), workspace)))[0]
    opens: dict[RowKind, Callable[..., RowSet[Example] | RowSet[Comparison] | RowSet[Prompt]]] = {
        "answers": open_examples,
        "pairs": open_comparisons,
        "prompts": open_prompts,
    }
    return opens[shape_of(entry, options).kind]([name], options, workspace, seed=seed)


def holds_comparisons(name: str, options: RowChoices, workspace: Workspace) -> bool:
    """Whether a set has two answers to each question.

    Raises:
        DataError: there is no such set.
    """
    return read_catalog(data_folder(options, workspace)).entry(name).ranking


def holds_questions(name: str, options: RowChoices, workspace: Workspace) -> bool:
    """Whether a set names no column of answers; otherwise like `holds_comparisons`."""
    return shape_of(read_catalog(data_folder(options, workspace)).entry(name), options).kind == "prompts"


def data_folder(options: RowChoices, workspace: Workspace) -> Path:
    """The folder of dataset_info.json: in the workspace, or as it was typed."""
    typed = typed_path(options.dataset_dir)
    inside = workspace.root / typed
    return typed.absolute() if typed.is_dir() and not inside.is_dir() else inside


def find_entries(names: Sequence[str], catalog: Catalog) -> list[DatasetEntry]:
    """The sets of some names.

    Raises:
        DataError: none is named, or one is not there.
    """
    if not names:
        raise DataError(_("no data set is named"), _("name one with --dataset; finetui data list shows them"))
    return [catalog.entry(name) for name in names]


def check_kind(entry: DatasetEntry, kind: RowKind, choice: ColumnChoice | None = None) -> None:
    """Refuse a set that is of another kind than what is to be done with it. Questions are in sets of every kind.

    Args:
        choice: columns that are named besides those of the entry.

    Raises:
        DataError: it is.
    """
    if kind == "prompts":
        return
    if "kto_tag" in entry.columns:
        what = _("{name}: rows with a kto_tag cannot be trained on").format(name=entry.name)
        raise DataError(what, _("take kto_tag out of its columns to train on all its answers"))
    if entry.ranking and kind == "answers":
        what = _("{name} holds rankings: two answers for each question").format(name=entry.name)
        raise DataError(what, _("take a set with one answer, or stage rm or dpo, which compare two"))
    if kind == "answers" and shape_of(entry, choice).kind == "prompts":
        what = _("{name} holds questions without answers").format(name=entry.name)
        hint = _("take a set with answers, name their column as response in dataset_info.json, or take stage ppo")
        raise DataError(what, hint)
    if kind == "pairs" and not entry.ranking:
        what = _("{name} holds one answer for each question, not two to compare").format(name=entry.name)
        hint = _('take stage sft or ppo, or set "ranking": true in dataset_info.json if it does hold two')
        raise DataError(what, hint)


def sources_of(entry: DatasetEntry, rows: Rows) -> list[Source]:
    """The files of a set, with their hashes."""
    if entry.hub_name:
        return [Source(entry.name, entry.hub_name, 0, "")]
    return [Source(entry.name, str(path), path.stat().st_size, file_hash(path)) for path in rows.files]


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """A file's hash, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


# --- opening -----------------------------------------------------------------------------------------------------


def _open(
    names: Sequence[str],
    options: RowChoices,
    workspace: Workspace,
    seed: int,
    convert: Converter[T],
    kind: RowKind,
) -> RowSet[T]:
    entries = find_entries(names, read_catalog(data_folder(options, workspace)))
    for entry in entries:
        check_kind(entry, kind, options)
    parts = tuple(_part(entry, options, seed, convert) for entry in entries)
    if options.mix_strategy == "concat" or len(parts) == 1:
        return RowSet(parts, convert)
    shares = read_probabilities(options.interleave_probs, len(parts))
    until_all = options.mix_strategy == "interleave_over"
    mixed = interleaved([len(part.numbers) for part in parts], shares, until_all, seed)
    return RowSet(parts, convert, mixed)


def _part(entry: DatasetEntry, options: RowChoices, seed: int, convert: Converter[T]) -> Part[T]:
    rows, shape = open_rows(entry), shape_of(entry, options)
    unreadable = next((problem for problem in rows.problems if problem.kind == "file"), None)
    if unreadable is not None:
        raise DataError(f"{unreadable.where}: {unreadable.what}", unreadable.hint)
    numbers: Sequence[int] = range(len(rows))
    problems: list[DataProblem] = []
    left_out = 0
    if options.on_bad_rows == "skip":
        most = options.max_samples if entry.num_samples is None else None
        numbers, left_out, problems = _usable(rows, shape, convert, most)
        if not numbers and left_out:
            raise DataError(
                _("{name}: no row can be used, the first because of this: {problem}").format(
                    name=entry.name, problem=problems[0]
                ),
                _("finetui data check {name} tells of all").format(name=entry.name),
            )
    if entry.num_samples is not None:
        numbers = sampled(numbers, entry.num_samples, seed)
    if options.max_samples is not None:
        numbers = numbers[: options.max_samples]
    return Part(entry, rows, shape, numbers, left_out, tuple(problems))


def _usable(
    rows: Rows, shape: RowShape, convert: Converter[T], most: int | None
) -> tuple[Sequence[int], int, list[DataProblem]]:
    """The first `most` rows that can be used, how many bad ones stand between them, and why they are."""
    numbers, left_out, problems = array("q"), 0, list[DataProblem]()
    for number in range(len(rows)):
        if most is not None and len(numbers) == most:
            break
        try:
            row, place = rows[number]
            _example, faults = convert(row, shape)
        except RowProblem as problem:
            place, faults = problem.place, [problem.fault]
        if not faults:
            numbers.append(number)
            continue
        left_out += 1
        if len(problems) < _KEPT_PROBLEMS:
            problems.append(RowProblem(place, faults[0]).problem)
    return numbers, left_out, problems
