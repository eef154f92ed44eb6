"""`report.json`: everything that an evaluation of one model on one set found out, and what it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.metrics.metric import Artefact, Confusion, Value

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """Who answered."""

    name: str
    """As tables show it: the adapter's name, or the model's."""
    model: str
    """The base, as it was named."""
    adapter: str = ""
    """The adapter as it is typed; empty for the base alone."""
    path: str = ""
    """The folder of the adapter or of the model; a server's address for a served model."""
    method: str = ""
    template: str = ""
    dtype: str = ""
    device: str = ""
    weights_sha256: str = ""
    """Of an adapter's weights, or of a model's configuration."""

    @property
    def adapter_name(self) -> str:
        """The adapter as tables show it, wherever it lies; empty where none answered."""
        return self.name if self.adapter else ""


@dataclass(frozen=True, slots=True)
class EvaluatedSet:
    """What was asked."""

    name: str
    rows: int
    sha256: str = ""
    """Of its files, one after another."""
    files: tuple[str, ...] = ()
    left_out: int = 0
    """Rows that could not be used."""
    seen_in_training: int | None = None
    """Of its questions, how many stand in the data that the adapter was trained on; None: that data is not known."""
    training_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation of one model on one set, finished or not."""

    subject: Subject
    data: EvaluatedSet
    values: Mapping[str, Value] = field(default_factory=dict)
    """By metric name, in the order of showing."""
    artefacts: tuple[Artefact, ...] = ()
    confusion: Confusion | None = None
    answered: int = 0
    failed: int = 0
    empty: int = 0
    truncated: int = 0
    """Answers that were cut at max_new_tokens."""
    repeats: int = 1
    config: Mapping[str, object] = field(default_factory=dict)
    """Every option by its name."""
    runtimes: Mapping[str, float] = field(default_factory=dict)
    """`seconds`, `rows_per_second`, `tokens_per_second`, `loading`."""
    notes: tuple[str, ...] = ()
    """What a reader has to know: how batches were made, near-ties, replaced options, warnings of loading."""
    complete: bool = True
    time: float = 0.0
    """When it was written, seconds since the epoch."""
    packages: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
