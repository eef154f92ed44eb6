"""Multiple choice: files such as those of MMLU and C-Eval, and the words in which a model is asked.

A row has a question, the choices in columns `A`, `B`, `C`, … (or as a list in `choices`) and the letter of the right
one in `answer`. MMLU's own CSV files have no line of names; they are known by their last cell, which is a letter.

The words are those of MMLU's and C-Eval's authors; solved questions stand before as turns of a conversation, as
LLaMA-Factory asks. What the model thinks of the letters is read from the token that comes next.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.message import Message
from core.data.catalog import Catalog, DatasetEntry, read_catalog
from core.data.checks import KEPT, Report
from core.data.examples import RowChoices, data_folder
from core.data.problems import DataProblem, Fault, Place, RowProblem
from core.data.rows import JoinedRows, Rows, open_file, open_rows, open_table
from core.errors import DataError
from core.i18n import _
from core.jsonl import Json
from core.workspace import Workspace

LETTERS = "ABCDEFGHIJ"
_TABLES = (".csv", ".tsv")
_SPLIT = re.compile(r"[_-](test|val|validation|dev|train)$")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with its choices."""

    question: str
    choices: tuple[str, ...]
    """A, B, C, …"""
    answer: str
    """The right one's letter."""
    id: str = ""
    """The row's own, where it has one."""

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(LETTERS[: len(self.choices)])


@dataclass(frozen=True, slots=True)
class ChoiceSet:
    """Questions with choices, in the order of their file."""

    name: str
    files: tuple[Path, ...]
    rows: tuple[tuple[Choice, Place], ...]
    left_out: int = 0
    problems: tuple[DataProblem, ...] = ()
    """The first of those that rows were left out for."""


# --- files -------------------------------------------------------------------------------------------------------


def holds_choices(name: str, options: RowChoices, workspace: Workspace) -> bool:
    """Whether a set's columns are those of multiple choice.

    Raises:
        DataError: there is no such set.
    """
    catalog = read_catalog(data_folder(options, workspace))
    entry = _entry(name, catalog)
    if entry.columns_given or entry.ranking:
        return False
    rows = _rows(entry)
    try:
        first = rows[0][0] if len(rows) else {}
    except RowProblem:
        return False
    return "question" in first and len(_choices(first)) > 1 and ("answer" in first or "answerKey" in first)


def open_choices(name: str, options: RowChoices, workspace: Workspace) -> ChoiceSet:
    """The questions of a set.

    Raises:
        DataError: there is no such set, it cannot be read, or, unless bad rows are skipped, rows have mistakes: all
            of them are told.
    """
    entry = _entry(name, read_catalog(data_folder(options, workspace)))
    rows = _rows(entry)
    found: list[tuple[Choice, Place]] = []
    problems: list[DataProblem] = []
    counts: Counter[str] = Counter()
    looked_at = 0
    for number in range(len(rows)):
        if options.max_samples is not None and _enough(options, len(found), looked_at):
            break
        looked_at += 1
        choice = _read(rows, number, problems, counts)
        if choice is not None:
            found.append(choice)
    bad = looked_at - len(found)
    report = Report((entry.name,), looked_at, bad, tuple(problems[:KEPT]), dict(counts))
    report.raise_if_it_stops(options.on_bad_rows)
    if not found:
        what = _("{name}: no row can be used").format(name=entry.name)
        raise DataError(what, str(problems[0]) if problems else _("write rows into it, or leave it out"))
    return ChoiceSet(entry.name, rows.files, tuple(found), bad, tuple(problems[:KEPT]))


def _enough(options: RowChoices, usable: int, looked_at: int) -> bool:
    counted = usable if options.on_bad_rows == "skip" else looked_at
    return options.max_samples is not None and counted >= options.max_samples


def _entry(name: str, catalog: Catalog) -> DatasetEntry:
    """A set of the catalogue, or a file, whose columns need no guessing here."""
    if name in catalog.entries or name in catalog.problems or catalog.online:
        return catalog.entry(name)
    path = catalog.file_of(name)
    if path is None:
        return catalog.entry(name)
    return DatasetEntry(path.stem, catalog.folder, str(path), registered=False)


def _rows(entry: DatasetEntry) -> Rows:
    if entry.hub_name:
        return open_rows(entry)
    rows = [_file_rows(path) for path in entry.data_files()]
    return rows[0] if len(rows) == 1 else JoinedRows(rows)


def _file_rows(path: Path) -> Rows:
    if path.suffix.lower() not in _TABLES:
        return open_file(path)
    cells = _first_record(path)
    count = len(cells) - 2
    if 2 <= count <= len(LETTERS) and cells[-1].strip() in tuple(LETTERS[:count]):
        return open_table(path, ("question", *LETTERS[:count], "answer"))
    return open_file(path)


def _first_record(path: Path) -> list[str]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, csv.Error):
        return []  # whoever opens it tells what is wrong


# --- rows --------------------------------------------------------------------------------------------------------


def _read(rows: Rows, number: int, problems: list[DataProblem], counts: Counter[str]) -> tuple[Choice, Place] | None:
    try:
        row, place = rows[number]
        choice, faults = read_choice(row)
    except RowProblem as problem:
        choice, faults, place = None, [problem.fault], problem.place
    for fault in faults:
        counts[fault.kind] += 1
        problems.append(RowProblem(place, fault).problem)
    return (choice, place) if choice is not None else None


def read_choice(row: Json) -> tuple[Choice | None, list[Fault]]:
    """A row as a question with choices, or everything that is wrong with it."""
    faults: list[Fault] = []
    question, choices = row.get("question"), _choices(row)
    if not isinstance(question, str) or not question.strip():
        faults.append(Fault("empty_question", _("there is no text in 'question'"), _("write one, or take the row out")))
    if len(choices) < 2:
        hint = _("write them into the columns A, B, C, D, or as a list into 'choices'")
        faults.append(Fault("missing_column", _("there are no two choices"), hint))
    answer = _answer(row, choices)
    if answer is None:
        what = _("the answer {answer!r} is none of {letters}").format(
            answer=row.get("answer", row.get("answerKey")), letters=", ".join(LETTERS[: len(choices)])
        )
        hint = _("write the right one's letter; of published sets, take the part that has answers (val, dev)")
        faults.append(Fault("empty_answer", what, hint))
    if faults or answer is None:
        return None, faults
    own = row.get("id")
    name = str(own) if isinstance(own, (str, int)) and not isinstance(own, bool) else ""
    return Choice(str(question), choices, answer, name), []


def _choices(row: Json) -> tuple[str, ...]:
    listed = row.get("choices", row.get("options"))
    if isinstance(listed, Mapping):
        listed = listed.get("text")
    if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
        return tuple(listed[: len(LETTERS)])
    return tuple(_while_there(row))


def _while_there(row: Json) -> Iterator[str]:
    for letter in LETTERS:
        value = row.get(letter)
        if value is None or isinstance(value, (dict, list)):
            return
        yield str(value)


def _answer(row: Json, choices: Sequence[str]) -> str | None:
    given: Any = row.get("answer", row.get("answerKey"))
    if isinstance(given, str) and given.strip().isdecimal() and not (set(LETTERS) & row.keys()):
        given = int(given)  # as the hub's tables of MMLU count, from 0
    if type(given) is int:
        return LETTERS[given] if 0 <= given < len(choices) else None
    letter = given.strip().upper() if isinstance(given, str) else ""
    return letter if len(letter) == 1 and letter in LETTERS[: len(choices)] else None


# --- words -------------------------------------------------------------------------------------------------------


def choice_messages(choice: Choice, shots: Sequence[Choice], subject: str) -> tuple[Message, ...]:
    """The conversation in which a question is asked, after solved ones.

    Args:
        subject: see `subject_of`.
    """
    ask, opening = _words(choice, subject)
    asked: list[Message] = []
    for shot in shots:
        asked += [Message("user", ask(shot)), Message("assistant", shot.answer)]
    asked.append(Message("user", ask(choice)))
    return (Message("user", opening + asked[0].content), *asked[1:])


def subject_of(name: str) -> str:
    """What a set's questions are about, by its name: `abstract_algebra_test` is about abstract algebra."""
    return _SPLIT.sub("", name).replace("_", " ").replace("-", " ").strip()


def _words(choice: Choice, subject: str) -> tuple[Callable[[Choice], str], str]:
    """How questions end, and what stands before the first, in the question's language."""
    if _CHINESE.search(choice.question):
        return _chinese, f"以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。\n\n"
    return _english, f"The following are multiple choice questions (with answers) about {subject}.\n\n"


def _english(choice: Choice) -> str:
    return f"{_listed(choice)}\nAnswer:"


def _chinese(choice: Choice) -> str:
    return f"{_listed(choice)}\n答案："


def _listed(choice: Choice) -> str:
    lines = (f"{letter}. {text}" for letter, text in zip(choice.letters, choice.choices, strict=True))
    return "\n".join((choice.question, *lines))
