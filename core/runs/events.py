"""What a run tells about itself: one JSON object a line in `events.jsonl`, appended and never changed.

The supervisor writes until it starts the real command and after it has reaped it, rank 0 writes in between; so there is
one writer at a time. A resumed run opens a new segment with another `RunStarted`; of two events about the same step the
later one counts. A reader keeps events whose type it does not know.

Times are seconds since the epoch, durations seconds, memory bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from core.records import registry

SCHEMA = 1

Stage: TypeAlias = Literal[
    "importing",
    "data",
    "loading",
    "reference",
    "trying",
    "training",
    "evaluating",
    "answering",
    "scoring",
    "saving",
    "ending",
]
Move: TypeAlias = Literal["started", "resumed", "joined", "kept", "finished"]
"""Of a pipeline's step. joined: its run was going on already; kept: it was finished before."""
Reason: TypeAlias = Literal["completed", "stopped", "early_stopping"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The supervisor lives. The first line of every segment."""

    time: float
    pid: int
    """Of the supervisor; 0 where a scheduler holds it."""
    started: float
    """When that process started, as the system tells it: with the pid it names the process for good."""
    host: str
    kind: str = "train"
    schema: int = SCHEMA
    segment: int = 1
    """1, and one more for every resume."""
    resumed_from: str = ""
    """The checkpoint's folder name."""


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits for a device."""

    time: float
    device: str
    holder: str = ""
    """The run that has the device."""


@dataclass(frozen=True, slots=True)
class StageChanged:
    """What it is busy with."""

    time: float
    stage: Stage
    fraction: float | None = None
    """How much of the stage is done, where that is known."""


@dataclass(frozen=True, slots=True)
class DataReady:
    """The rows are tokens; from here the number of steps is known."""

    time: float
    rows: int
    tokens: int
    trained_tokens: int
    eval_rows: int = 0
    cut_rows: int = 0
    left_out_rows: int = 0
    total_steps: int = 0
    steps_per_epoch: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The weights are loaded and what is trained is chosen."""

    time: float
    model: str
    method: str
    parameters: int
    trainable: int
    dtype: str
    device: str
    processes: int = 1
    threads: int = 0
    choices: tuple[str, ...] = ()
    """What was decided for speed and memory, as short phrases: `shared prefix of 46 tokens`."""


@dataclass(frozen=True, slots=True)
class ModelsBeside:
    """The models that a stage holds beside the one it trains: who they are, for good."""

    time: float
    reference: str = ""
    """In words: `telecom-lora (adapter) on smollm2-135m-instruct`."""
    reference_sha256: str = ""
    """Of its weights that are not the base's; empty where it is the base itself."""
    is_start: bool = False
    """Whether the reference is the trained model as it was before the first update."""
    reward: str = ""
    reward_kind: str = ""
    """`lora`, `full`, `function` or `api`."""


@dataclass(frozen=True, slots=True)
class StepMoved:
    """A step of a pipeline begins, or is done. How one that is not done ended, the pipeline's own end tells."""

    time: float
    step: str
    run: str
    """The folder of its run."""
    move: Move
    done: int
    """How many steps are done now."""
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """A point of the training's curves: means over the updates since the last point."""

    time: float
    step: int
    total_steps: int
    epoch: float
    loss: float
    grad_norm: float
    learning_rate: float
    rows: int
    """Really consumed since the run's beginning, all processes together; so are the tokens."""
    tokens: int
    rows_per_second: float
    """Over the window; so are tokens."""
    tokens_per_second: float
    elapsed: float
    """Training time over all segments."""
    remaining: float
    memory: int = 0
    """Resident memory of a process; device memory on an accelerator."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Whatever a stage adds: reward, kl, accuracy. See `core.runs.quantities`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the evaluation rows say; metrics by name, `loss` among them."""

    time: float
    step: int
    epoch: float
    metrics: Mapping[str, float]
    rows: int
    seconds: float
    dataset: str = ""
    """Empty for rows kept out of the training set."""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A probe prompt's answer at a step. Step 0 is the answer before any training."""

    time: float
    step: int
    prompt: str
    answer: str
    reward: float | None = None
    """What the reward model gives for it, where there is one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How far an evaluation is: answers to test rows, all its parts and repeats together."""

    time: float
    part: str
    """The part that is busy, as `parts.json` names it."""
    part_done: int
    part_total: int
    done: int
    total: int
    failed: int = 0
    tokens: int = 0
    """Generated in this segment, those of unfinished answers too."""
    tokens_per_second: float = 0.0
    """Over the last window; so are rows."""
    rows_per_second: float = 0.0
    elapsed: float = 0.0
    """Over all segments."""
    remaining: float = 0.0
    memory: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The busy part's metrics so far, over its answered rows: those that are cheap enough."""


@dataclass(frozen=True, slots=True)
class PartScored:
    """A model has answered a whole test set, and its report is written."""

    time: float
    part: str
    folder: str
    """Relative to the run's folder."""
    rows: int
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is complete."""

    time: float
    step: int
    path: str
    """Relative to the run's folder: `checkpoints/step-000200`, or `.` for what is written at the end."""
    bytes: int
    seconds: float
    best: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointRemoved:
    """A checkpoint left because of save_total_limit."""

    time: float
    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that one should know and that did not stop the run."""

    time: float
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """It ended as it should; the last event of a segment."""

    time: float
    reason: Reason
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What `all_results.json` says."""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """It ended by an error; the last event of a segment."""

    time: float
    error: str
    hint: str = ""
    log: str = ""
    """The tail of output.log."""


Event: TypeAlias = (
    RunStarted
    | Queued
    | StageChanged
    | DataReady
    | ModelReady
    | ModelsBeside
    | StepMoved
    | Step
    | Evaluation
    | Sample
    | Answered
    | PartScored
    | CheckpointSaved
    | CheckpointRemoved
    | Warned
    | RunFinished
    | RunFailed
)
EVENTS = registry(
    RunStarted,
    Queued,
    StageChanged,
    DataReady,
    ModelReady,
    ModelsBeside,
    StepMoved,
    Step,
    Evaluation,
    Sample,
    Answered,
    PartScored,
    CheckpointSaved,
    CheckpointRemoved,
    Warned,
    RunFinished,
    RunFailed,
)
