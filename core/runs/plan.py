"""What a training will be, told before anything is spent: the words between the engine that finds out and who shows it.

`python -P -m core.engine.plan` writes them as JSON lines: `Planning` while rows become tokens, then `Plan`, which needs
no torch, then with `--dry` a `DryStep`; or `Refused`, with everything that stands against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from core.config.stages import RowKind
from core.errors import Problem
from core.records import registry
from core.runs.quantities import TrainingStage

LeftOutReason: TypeAlias = Literal[
    "too_long", "no_room", "untrained", "unanswered", "same_answers", "refused", "unreadable"
]


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """A row that is not trained on."""

    place: str
    """`file:line`, as messages about the row begin."""
    reason: LeftOutReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What became of the rows on their way to tokens. Tokens are counted after cuts."""

    kind: RowKind = "answers"
    rows: int = 0
    """That are trained on; a pair is one, and its tokens are those of both answers."""
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0
    """Of the longest row, or of the longer half of a pair."""
    cut_rows: int = 0
    cut_turns: int = 0
    """Rows that lost their oldest exchanges; a row may be counted here, among questions and among answers."""
    cut_questions: int = 0
    cut_answers: int = 0
    lost_turn_tokens: int = 0
    lost_question_tokens: int = 0
    lost_answer_tokens: int = 0
    first_cut: tuple[str, ...] = ()
    """Where the first of them stand."""
    left_out: int = 0
    left_out_reasons: Mapping[str, int] = field(default_factory=dict)
    """How many for each reason."""
    first_left_out: tuple[LeftOutRow, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one process at the longest batch."""

    runtime: int
    """Libraries, or the driver's context."""
    weights: int
    """With the factors or the prefix beside them."""
    gradients: int
    optimizer: int
    activations: int
    """With everything kept for the backward pass."""
    checkpointed_activations: int
    """With gradient checkpointing."""
    logits: int
    """The vocabulary at positions whose tokens' probabilities are computed."""
    available: int
    """What the machine or the device has free now; 0 where it does not say."""
    device: str
    beside: int = 0
    """Of PPO: the reference, and a reward model of weights."""
    rollouts: int = 0
    """Of PPO: keys and values while answers are drawn, which is never while there are activations."""

    @property
    def total(self) -> int:
        return self._with(self.activations)

    @property
    def checkpointed_total(self) -> int:
        return self._with(self.checkpointed_activations)

    def _with(self, activations: int) -> int:
        held = self.runtime + self.weights + self.gradients + self.optimizer + self.beside
        return held + max(activations + self.logits, self.rollouts)


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes that a run writes."""

    checkpoint: int
    """One of them."""
    total: int
    """At the run's end, at most."""
    free: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A training in numbers."""

    method: str
    model: str
    report: TokenReport
    """Of all rows, those kept out for evaluation included."""
    rows: int
    """That are trained on."""
    eval_rows: int
    rows_per_update: int
    """All processes and accumulated batches together; a pack of rows counts as one, and so does a pair. Of PPO the
    answers of a step."""
    micro_batches_per_epoch: int
    updates_per_epoch: int
    total_steps: int
    epochs: float
    """Passes over the rows."""
    packs: int
    """0 without packing."""
    checkpoints: int
    """That are saved, the one at the end included."""
    points: int
    """Of the loss curve."""
    evaluations: int
    parameters: int
    trainable: int
    memory: MemoryEstimate
    gradient_checkpointing: bool
    disk: DiskEstimate
    warnings: tuple[Problem, ...] = ()
    """`where` is the option's name."""
    stage: TrainingStage = "sft"
    longest_answer: int = 0
    """Of those that PPO draws, in tokens; 0 for rows that bring theirs."""
    passes: int = 1
    """How often PPO learns from an answer."""


@dataclass(frozen=True, slots=True)
class DryStep:
    """A real update with the longest batch, measured and forgotten."""

    seconds: float
    tokens: int
    peak_memory: int
    """Bytes; of the process, or of the device's allocator."""
    estimated_seconds: float
    """Of the whole training with its evaluations and probes, each answer as long as may be; checkpoints left out."""
    trainable: int
    """Counted, not estimated."""
    micro_batch: int
    """Rows at once that memory took."""


@dataclass(frozen=True, slots=True)
class Planning:
    """What it is busy with, where that takes a while."""

    fraction: float
    stage: Literal["checking", "tokens"] = "tokens"
    """Rows are read and checked, then they become tokens."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be trained: everything that was found."""

    problems: tuple[Problem, ...]
    total: int = 0
    """How many there are, where only the first are told."""


PlanRecord: TypeAlias = Plan | DryStep | Planning | Refused
PLAN_RECORDS = registry(Plan, DryStep, Planning, Refused)
