"""What a data set is made of: how long its texts are, which answers repeat, how much is there twice."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from core.chat.message import Message
from core.data.example import Comparison, Example, Prompt
from core.data.problems import RowProblem

ClassesBy: TypeAlias = Literal["answer", "beginning", "none"]

_MANY = 20_000
_BEGINNING = re.compile(r"[^\d_|:：]+")
_BINS = 20


class Examples(Protocol):
    """Rows by their numbers; a bad one raises `RowProblem`."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Example | Comparison | Prompt: ...


@dataclass(frozen=True, slots=True)
class Bin:
    """So many texts from `low` to `high` characters, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long some texts are, in characters."""

    shortest: int
    median: int
    mean: float
    percentile_95: int
    longest: int
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Classes:
    """What answers can be told apart by, where they repeat: the whole answer, or its beginning before a number."""

    by: ClassesBy
    counts: tuple[tuple[str, int], ...] = ()
    """Classes and their rows, the largest first."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A data set in numbers; rows that cannot be read are counted and left out of the rest."""

    rows: int
    bad_rows: int
    turns: float
    """Questions in a row, on average."""
    questions: Lengths
    """All that stands before the last answer, in characters."""
    answers: Lengths
    classes: Classes
    repeated_questions: int
    """Rows whose question was there before."""


def statistics(examples: Examples, on_progress: Callable[[int, int], None] | None = None) -> Statistics:
    """Count everything, in one pass; the answer of a ranking's row is the better one, and a question alone has none."""
    questions, answers, seen = array("I"), array("I"), set[int]()
    names: Counter[str] = Counter()
    bad = turns = 0
    for number in range(len(examples)):
        if on_progress is not None and number % 20_000 == 0:
            on_progress(number, len(examples))
        try:
            example = examples[number]
        except RowProblem:
            bad += 1
            continue
        before, answer = _question_and_answer(example)
        texts = tuple(message.content for message in before)
        seen.add(hash(texts))
        questions.append(sum(map(len, texts)))
        answers.append(len(answer))
        turns += sum(message.role == "user" for message in before)
        if len(names) < _MANY:
            names[answer] += 1
    return Statistics(
        rows=len(examples),
        bad_rows=bad,
        turns=turns / len(questions) if questions else 0.0,
        questions=lengths_of(questions),
        answers=lengths_of(answers),
        classes=classes_of(names),
        repeated_questions=len(questions) - len(seen),
    )


def _question_and_answer(example: Example | Comparison | Prompt) -> tuple[Sequence[Message], str]:
    match example:
        case Comparison(messages, chosen):
            return messages, chosen
        case Prompt(messages):
            return messages, ""
        case Example(messages):
            return messages[:-1], messages[-1].content


def lengths_of(lengths: Sequence[int]) -> Lengths:
    """The distribution of some lengths, in at most twenty bins of one width."""
    if not lengths:
        return Lengths(0, 0, 0.0, 0, 0, ())
    ordered = sorted(lengths)
    low, high, count = ordered[0], ordered[-1], len(ordered)
    width = (high - low) // _BINS + 1
    tallest = Counter((length - low) // width for length in ordered)
    bins = (Bin(low + at * width, low + (at + 1) * width - 1, tallest[at]) for at in range((high - low) // width + 1))
    return Lengths(
        shortest=low,
        median=ordered[count // 2],
        mean=sum(ordered) / count,
        percentile_95=ordered[min(count - 1, count * 95 // 100)],
        longest=high,
        bins=tuple(bins),
    )


# --- classes -----------------------------------------------------------------------------------------------------


def classes_of(answers: Counter[str]) -> Classes:
    """The classes of a set, from how often each answer comes."""
    by = _told_apart_by(answers)
    if by == "none":
        return Classes("none")
    named: Counter[str] = Counter()
    for answer, count in answers.items():
        named[class_name(answer, by)] += count
    return Classes(by, tuple(sorted(named.items(), key=lambda item: (-item[1], item[0]))))


def class_of_each(answers: Iterable[str]) -> tuple[ClassesBy, list[str]]:
    """The class of each answer, for splits that keep the classes' shares."""
    listed = list(answers)
    by = _told_apart_by(Counter(listed))
    return by, [class_name(answer, by) for answer in listed]


def class_name(answer: str, by: ClassesBy) -> str:
    """The class of an answer; where answers do not repeat, they are all of one."""
    match by:
        case "answer":
            return answer
        case "beginning":
            found = _BEGINNING.match(answer)
            return found.group() if found else ""
        case "none":
            return ""


def _told_apart_by(answers: Counter[str]) -> ClassesBy:
    """Answers are classes where each comes twice on average; else their beginnings are, if nearly all have one."""
    rows = answers.total()
    if not rows or len(answers) >= _MANY:
        return "none"
    if rows >= 2 * len(answers):
        return "answer"
    beginnings = Counter[str]()
    for answer, count in answers.items():
        found = _BEGINNING.match(answer)
        if found and found.end() < len(answer):
            beginnings[found.group()] += count
    if beginnings.total() >= 0.9 * rows and rows >= 2 * len(beginnings):
        return "beginning"
    return "none"
