"""What a metric is: a number for a row, or for all rows at once.

Rates and similarities are percent, 0 to 100, as LLaMA-Factory gives BLEU and ROUGE; losses, lengths and ratios are
plain numbers. Values keep their full precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["percent", "number"]
Better: TypeAlias = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True)
class Pair:
    """An answer beside the reference that it is held against. Thinking is no part of the answer."""

    predict: str
    label: str
    finish_reason: str = ""
    """`length`: cut at max_new_tokens. Empty where it is not known."""
    loss: float | None = None
    """Mean negative log-likelihood of the reference's tokens, in nats; None where nobody computed it."""
    reward: float | None = None
    """The reward model's score of the answer."""
    chosen: float | None = None
    """Where a reward model was asked about two answers: its score of the better one."""
    rejected: float | None = None
    """Of the other."""
    question: int | None = None
    """What it answers: repeats of one question share it. None: nobody else answers that."""


def questions_of(pairs: Sequence[Pair]) -> list[Pair]:
    """The first answer to each question: what says how many questions there are, and of what kind."""
    found: dict[int, Pair] = {}
    for at, pair in enumerate(pairs):
        found.setdefault(-1 - at if pair.question is None else pair.question, pair)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Measuring:
    """What metrics can be told."""

    long_label: int = 10
    list_separator: str = "|"
    bootstrap: int = 2000
    """Resamples; 0: no intervals."""
    seed: int = 42
    processes: int = 0
    """0: the cores that are free, where there is enough to do."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A metric of a whole set that is computed from sums over its rows, so that resampling costs little."""

    each: Sequence[Sequence[float]]
    """A vector for each row; a row that does not count has zeros alone."""
    value: Callable[[Sequence[float]], float]
    """The metric, from the sum of some rows' vectors."""


@dataclass(frozen=True)
class Metric:
    """How something is measured. One of `of_row`, `of_sums` and `of_set` is given."""

    name: str
    """As it is typed and written: `bleu-4`, `exact_match`."""
    title: str
    """A column's heading: `BLEU-4`."""
    help: str
    unit: Unit = "percent"
    better: Better = "higher"
    of_row: Callable[[Pair, Measuring], float | None] | None = None
    """None for a row that does not count (a label that is too short, an answer that is no list)."""
    of_set: Callable[[Sequence[Pair], Measuring], float | None] | None = None
    """For what is no mean over rows: distinct-n. It has no interval. None: it does not fit these rows."""
    of_sums: Callable[[Sequence[Pair], Measuring], Sums | None] | None = None
    """For what is computed from sums over rows: macro F1, corpus chrF."""
    source: str = ""
    """The Python file that it came from; empty for those of the catalogue."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number that one can defend."""

    value: float
    n: int
    """Rows that it stands on."""
    low: float | None = None
    """The 95 % bootstrap interval over rows; None where none was computed."""
    high: float | None = None
    median: float | None = None
    spread: float | None = None
    """The standard deviation over repeats."""
    unit: Unit = "percent"
    better: Better = "higher"
    """As the metric says; a report carries both, because nobody else knows a metric of the user's own."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """Why a number does not mean what one would think; told beside it."""

    metric: str
    """Empty: it concerns all."""
    message: str


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class of answers fares."""

    name: str
    labels: int
    """Rows whose label it is."""
    predicted: int
    right: int
    precision: float
    recall: float
    f1: float
    """Percent."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Answers that are classes: what was said for what. Counts; the most frequent classes first."""

    classes: tuple[ClassScore, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Label → predicted → rows; predictions that are no label are under an empty name."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured on some rows."""

    values: Mapping[str, Value]
    """By metric name, in the order of showing: exact match first."""
    rows: Mapping[str, Sequence[float | None]]
    """By metric name a number for each row, in the rows' order; metrics of whole sets are not in it."""
    artefacts: tuple[Artefact, ...] = ()
    confusion: Confusion | None = None
    """None where answers are no classes."""
    compatible: Mapping[str, float] = field(default_factory=dict)
    """What LLaMA-Factory would print (`predict_bleu-4`, …): means of per-row values that are rounded to 4 decimals."""
