"""`launch.json`: what is started in a run, and what there was when it was started.

The supervisor reads this and nothing else. Written anew by a resume.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import RecordError
from core.records import from_record, registry, to_record
from core.runs.rundir import RunDirectory
from core.workspace import write_json

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that was read, by its content at the start."""

    dataset: str
    path: str
    bytes: int
    sha256: str
    modified: float = 0.0
    """When it was last written; a file of that time and size need not be read again."""


@dataclass(frozen=True, slots=True)
class Caution:
    """What the user was told before the start, and should still find in the run."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A step of a pipeline, for who shows it."""

    name: str
    run: str
    """The folder of its run, which need not be there yet."""
    kind: str = "train"
    """Of its run: train or evaluation."""
    stage: str = ""
    """Of a training."""
    after: tuple[str, ...] = ()
    """The steps that it stands on, by name."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a run is started."""

    command: tuple[str, ...] = ()
    """The exact words."""
    directory: str = ""
    """Where the command is started: where the user stood."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those that the supervisor has."""
    devices: tuple[str, ...] = ()
    """What has to be free before it starts: `cpu`, `cuda-0`."""
    kind: str = "train"
    processes: int = 1
    segment: int = 1
    resumed_from: str = ""
    """A checkpoint's folder name."""
    grace_seconds: float = 60.0
    """How long it may take to save when it is told to end, before it is killed."""
    schema: int = SCHEMA
    time: float = 0.0
    host: str = ""
    workspace: str = ""
    model: str = ""
    method: str = ""
    stage: str = ""
    """Of a training: sft, rm, dpo, ppo; empty in those of before there were others than sft."""
    pipeline: str = ""
    """The pipeline that started it, by name; so is its step in that."""
    pipeline_step: str = ""
    pipeline_options: Mapping[str, str] = field(default_factory=dict)
    """What the step's options were as the pipeline's file has them, as far as they were not at their defaults."""
    steps: tuple[QueuedRun, ...] = ()
    """Of a pipeline, in their order."""
    subjects: tuple[str, ...] = ()
    """Who answers in an evaluation, by name."""
    datasets: tuple[str, ...] = ()
    seed: int = 0
    data: tuple[DataFile, ...] = ()
    code: tuple[DataFile, ...] = ()
    """Python files of the user's own that it calls, each under the option that names it."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions by name, Python's among them."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """Of finetui's checkout and of the workspace, where they are in git; `+` behind one with changes."""
    cautions: tuple[Caution, ...] = ()


_LAUNCH = registry(Launch)


def write_launch(run: RunDirectory, launch: Launch) -> None:
    """Write `launch.json`, whole or not at all."""
    write_json(run.launch, to_record(launch))


def read_launch(run: RunDirectory) -> Launch:
    """What a run was started with; an empty one where there is no such file, or none that is understood."""
    with contextlib.suppress(OSError, ValueError, RecursionError, RecordError):
        return from_record(_LAUNCH, json.loads(run.launch.read_bytes()))
    return Launch()
