"""Everything that is wrong with some data sets, told at once, before a model is loaded.

Each row is read as a training would read it. Two rows are the same when their messages are, whatever their columns are
called. What is remembered of a row is two hashes, so a million rows take a hundred megabytes at most.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import TypeAlias

from core.config.stages import RowKind
from core.data.catalog import read_catalog
from core.data.entry import DatasetEntry
from core.data.example import Comparison, Example, Prompt
from core.data.examples import AllRows, RowChoices, check_kind, data_folder, file_hash, find_entries
from core.data.formats import READERS, RowShape, shape_of
from core.data.problems import KINDS, DataProblem, Fault, Place, RowProblem, shown_path
from core.data.rows import Rows, open_rows
from core.errors import DataError
from core.i18n import _, plural
from core.jsonl import Json
from core.workspace import Workspace

OnProgress: TypeAlias = Callable[[int, int], None]
"""Rows looked at, and rows in all."""

KEPT = 100
_TOLD_EVERY = 20_000
_NO_HASH = 0
# Columns that mean something in some format: one of these that is not read may have been forgotten.
_SPEAKING = ("instruction", "input", "output", "system", "history", "prompt", "query", "response", "question", "answer")
_WHOLE_SET = ("entry", "file", "empty_set")


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    datasets: tuple[str, ...]
    rows: int
    bad_rows: int
    """Rows that cannot be trained on."""
    problems: tuple[DataProblem, ...]
    """The first hundred; what stops a training stands first."""
    counts: Mapping[str, int]
    """How many there are of each kind."""

    @property
    def total(self) -> int:
        """How many problems there are, those that are not kept included."""
        return sum(self.counts.values())

    @property
    def errors(self) -> int:
        """How many of them stop a training."""
        return sum(count for kind, count in self.counts.items() if KINDS[kind] == "error")

    def stops(self, on_bad_rows: str = "stop") -> bool:
        """Whether a training must not start; with `skip` bad rows alone do not stop it."""
        if on_bad_rows == "stop":
            return self.errors > 0
        return any(self.counts.get(kind) for kind in _WHOLE_SET)

    def raise_if_it_stops(self, on_bad_rows: str = "stop") -> None:
        """Raise all that stops a training, as one error.

        Raises:
            BadData: there is something.
        """
        if self.stops(on_bad_rows):
            raise BadData(self)


class BadData(DataError):
    """Data sets have problems that a training does not start with."""

    def __init__(self, report: Report) -> None:
        self.report = report
        told = [problem for problem in report.problems if problem.severity == "error"]
        head = plural("{count} problem in the data", "{count} problems in the data", report.errors)
        more = report.errors - len(told)
        lines = [f"{head}:", *(f"  {problem}" for problem in told)]
        if more > 0:
            lines.append("  " + _("and {count} more").format(count=more))
        hint = _("mend them, or leave bad rows out with --on_bad_rows skip")
        if any(report.counts.get(kind) for kind in _WHOLE_SET):
            hint = _("mend them; finetui data check {names} looks again").format(names=" ".join(report.datasets))
        super().__init__("\n".join(lines), hint)


def check(
    names: Sequence[str],
    options: RowChoices | None,
    workspace: Workspace,
    *,
    against: Sequence[str] = (),
    kind: RowKind | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Look at every row of some data sets that a training may read.

    Args:
        names: sets of dataset_info.json, or files.
        options: which columns and how many rows are read; None reads all, as the sets describe themselves.
        against: test sets, which are looked at too; none of their questions may stand in the others.
        kind: what their rows have to hold; None leaves it to their entries.
        on_progress: called now and then.

    Raises:
        DataError: a set is not there, or dataset_info.json cannot be read.
    """
    options = options or AllRows()
    catalog = read_catalog(data_folder(options, workspace))
    entries = find_entries(names, catalog)
    tests = {entry.name: entry for entry in (catalog.entry(name) for name in against)}
    checked = tests | {entry.name: entry for entry in entries}
    the_check = _Check(options, kind)
    opened = [(entry, rows) for entry in checked.values() if (rows := the_check.open(entry)) is not None]
    total = sum(the_check.count(entry, rows) for entry, rows in opened)
    for entry, rows in opened:
        for _row in the_check.rows(entry, rows, entry.name in tests):
            if on_progress is not None and the_check.looked_at % _TOLD_EVERY == 0:
                on_progress(the_check.looked_at, total)
    the_check.compare()
    return the_check.findings.report(tuple(dict.fromkeys((*names, *against))), the_check.looked_at)


# --- what is found -----------------------------------------------------------------------------------------------


@dataclass
class _Findings:
    """Problems as they come: all counted, the first of each severity kept."""

    errors: list[DataProblem] = field(default_factory=list)
    warnings: list[DataProblem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0

    def add(self, where: Place | str, fault: Fault) -> None:
        self.counts[fault.kind] += 1
        kept = self.errors if KINDS[fault.kind] == "error" else self.warnings
        if len(kept) < KEPT:
            kept.append(DataProblem(str(where), fault.kind, fault.what, fault.hint))

    def report(self, names: tuple[str, ...], rows: int) -> Report:
        kept = tuple((*self.errors, *self.warnings)[:KEPT])
        return Report(names, rows, self.bad_rows, kept, dict(self.counts))


class _Check:
    """One check: what it has found, and the questions that it has seen."""

    def __init__(self, options: RowChoices, kind: RowKind | None) -> None:
        self._options, self._kind = options, kind
        self.findings = _Findings()
        self.looked_at = 0
        self._test_questions = dict[int, Place]()
        self._seen = _Seen()

    def open(self, entry: DatasetEntry) -> Rows | None:
        """The rows of a set, and what is wrong with it as a whole; None when it cannot be read."""
        try:
            shape = shape_of(entry, self._options)
            check_kind(entry, self._kind or shape.kind, self._options)
            rows = open_rows(entry)
        except DataError as error:
            self.findings.add("", Fault("entry", error.message, error.hint))
            return None
        for problem in rows.problems:
            self.findings.add(problem.where, Fault(problem.kind, problem.what, problem.hint))
        for fault in _entry_faults(entry, rows):
            self.findings.add(entry.name, fault)
        return rows

    def count(self, entry: DatasetEntry, rows: Rows) -> int:
        """How many rows of a set are looked at, where none is left out: those that may be used."""
        limit = self._options.max_samples if entry.num_samples is None else None
        return len(rows) if limit is None else min(limit, len(rows))

    def rows(self, entry: DatasetEntry, rows: Rows, test: bool) -> Iterator[None]:
        """Look at a set's rows, one after another."""
        shape = shape_of(entry, self._options)
        columns = _Columns(entry, shape)
        usable = count = 0
        if not test:
            self._seen.begin(rows)
        for number in range(len(rows)):
            if self._has_enough(entry, usable, count):
                break
            self.looked_at += 1
            count += 1
            try:
                row, place = rows[number]
            except RowProblem as problem:
                self._add_bad(problem.place, [problem.fault])
            else:
                usable += self._look_at(row, place, number, shape, test)
                columns.look_at(row)
            yield
        if count and not usable:
            hint = _("look at the first problems: the columns or the format may be named wrongly")
            self.findings.add(entry.name, Fault("empty_set", _("no row can be used"), hint))
        for fault in columns.faults(count):
            self.findings.add(entry.name, fault)

    def _has_enough(self, entry: DatasetEntry, usable: int, looked_at: int) -> bool:
        """Whether no further row of a set will be used: rows that are left out do not count against max_samples."""
        limit = self._options.max_samples if entry.num_samples is None else None
        counted = usable if self._options.on_bad_rows == "skip" else looked_at
        return limit is not None and counted >= limit

    def _look_at(self, row: Json, place: Place, number: int, shape: RowShape, test: bool) -> bool:
        kind = self._kind or shape.kind
        example, faults = READERS[kind](row, shape)
        if example is None:
            self._add_bad(place, faults)
            return False
        texts = _texts(example)
        for fault in _text_faults(texts):
            self.findings.add(place, fault)
        question = hash(texts[: len(texts) - _ANSWERS[kind]])
        if test:
            self._test_questions.setdefault(question, place)
            return True
        self._seen.remember(number, question, texts)
        if question in self._test_questions:
            what = _("the question stands in the test set too: {place}").format(place=self._test_questions[question])
            hint = _("take it out of one of them: the evaluation would measure memory")
            self.findings.add(place, Fault("leak", what, hint))
        return True

    def compare(self) -> None:
        """Look for rows that are there twice, when all have been looked at."""
        for place, fault in self._seen.faults():
            self.findings.add(place, fault)

    def _add_bad(self, place: Place, faults: Sequence[Fault]) -> None:
        self.findings.bad_rows += 1
        for fault in faults:
            self.findings.add(place, fault)


class _Seen:
    """Which rows are the same: hashes of all questions and of all whole rows, counted over all sets."""

    def __init__(self) -> None:
        self._sets: list[Rows] = []
        self._begins = [0]
        self._questions, self._wholes = array("q"), array("q")

    def begin(self, rows: Rows) -> None:
        """Another set follows."""
        self._sets.append(rows)
        self._begins.append(self._begins[-1] + len(rows))
        for hashes in (self._questions, self._wholes):
            hashes.extend(repeat(_NO_HASH, len(rows)))

    def remember(self, number: int, question: int, texts: tuple[str, ...]) -> None:
        """Note a row of the set that came last."""
        number += self._begins[-2]
        self._questions[number], self._wholes[number] = question, hash(texts)

    def faults(self) -> Iterator[tuple[Place, Fault]]:
        """Rows whose question was there before, in their order.

        Only what comes twice is looked up: a table of all questions would take as much memory as a training may.
        """
        twice = {one for one, other in pairwise(sorted(self._questions)) if one == other} - {_NO_HASH}
        first, again = dict[int, int](), dict[int, int]()
        for number, question in enumerate(self._questions) if twice else ():
            if question in twice and first.setdefault(question, number) != number:
                whole, before = self._wholes[number], first[question]
                same = before if self._wholes[before] == whole else again.get(whole)
                again.setdefault(whole, number)
                yield self._place(number), self._repeated(before, same)

    def _repeated(self, before: int, same: int | None) -> Fault:
        if same is not None:
            what = _("the same row as {place}").format(place=self._place(same))
            return Fault("duplicate", what, _("take one of them out, unless it is meant to weigh more"))
        what = _("the same question as {place}, with another answer").format(place=self._place(before))
        return Fault("contradiction", what, _("keep the right one, unless both are"))

    def _place(self, number: int) -> Place:
        at = bisect_right(self._begins, number) - 1
        return self._sets[at].place(number - self._begins[at])


class _Columns:
    """Columns that should be read and are not there, and those that are there and not read."""

    def __init__(self, entry: DatasetEntry, shape: RowShape) -> None:
        required = ("prompt", "response", "messages", "chosen", "rejected")
        used = set(shape.columns.values())
        self._entry = entry
        self._absent = {
            name: role for role, name in shape.columns.items() if entry.columns_given and role not in required
        }
        self._unread = {name: 0 for name in _SPEAKING if name not in used}

    def look_at(self, row: Json) -> None:
        for name in row:
            if name in self._unread:
                self._unread[name] += bool(row[name])
            elif name in self._absent:
                del self._absent[name]

    def faults(self, rows: int) -> Iterator[Fault]:
        for name, role in self._absent.items() if rows else ():
            what = _("no row has the column {name!r}, which the entry names as {role}").format(name=name, role=role)
            yield Fault("ignored_column", what, _("correct it in dataset_info.json, or take it out"))
        for name, count in self._unread.items():
            if count:
                what = plural(
                    "the column {{name!r}} is not read; {count} row has something in it",
                    "the column {{name!r}} is not read; {count} rows have something in it",
                    count,
                ).format(name=name)
                role = {"input": "query", "output": "response", "instruction": "prompt"}.get(name, name)
                hint = _('name it in columns of dataset_info.json ("{role}": "{name}"), or leave it so').format(
                    role=role, name=name
                )
                yield Fault("ignored_column", what, hint)


# --- single findings ---------------------------------------------------------------------------------------------


def _entry_faults(entry: DatasetEntry, rows: Rows) -> Iterator[Fault]:
    for key in entry.unknown_keys:
        what = _("{key!r} in dataset_info.json means nothing").format(key=key)
        yield Fault("ignored_column", what, _("correct its name, or take it out"))
    if entry.num_samples is not None and entry.num_samples > len(rows) > 0:
        what = _("num_samples is {count}, but there are {rows} rows").format(count=entry.num_samples, rows=len(rows))
        yield Fault("repeated_rows", what, _("rows come several times; lower it if that is not meant"))
    if entry.file_sha1 and len(rows.files) == 1 and file_hash(rows.files[0], "sha1") != entry.file_sha1.lower():
        what = _("{path} is not the file that file_sha1 was taken of").format(path=shown_path(rows.files[0]))
        yield Fault("changed_file", what, _("fetch the file again, or take file_sha1 out"))


def _text_faults(texts: Sequence[str]) -> Iterator[Fault]:
    joined = "".join(texts)
    if joined.isascii() and "\r" not in joined:
        return
    if "\ufffd" in joined:
        what = _("a character is lost: U+FFFD stands for it")
        yield Fault("lost_characters", what, _("take the text from its source again, in the right encoding"))
    if "\r" in joined:
        what = _("the text has carriage returns, as Windows ends lines")
        yield Fault("newlines", what, _("replace \\r\\n by \\n: the model learns them otherwise"))


def _texts(example: Example | Comparison | Prompt) -> tuple[str, ...]:
    texts = tuple(message.content for message in example.messages)
    return (*texts, example.chosen, example.rejected) if isinstance(example, Comparison) else texts


_ANSWERS: Mapping[RowKind, int] = {"answers": 1, "pairs": 2, "prompts": 0}
"""How many texts of a row are answers; they stand last."""
