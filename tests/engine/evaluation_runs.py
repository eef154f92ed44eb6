"""Small evaluations of tiny models: in this process, or in a forked one that dies where it is told to."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.config.evaluation import EVALUATION
from core.config.load import load
from core.config.save import as_yaml
from core.engine.control import Control
from core.engine.diary import Diary
from core.engine.evaluate import evaluate
from core.records import from_record
from core.report.files import read_predictions
from core.report.layout import PartFiles
from core.report.prediction import Prediction
from core.report.report import Report
from core.report.store import read_parts, read_report
from core.runs.events import EVENTS, Event, RunFailed, RunFinished, Warned
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from training_runs import ended, forked

E = TypeVar("E")
SMALL: dict[str, Any] = {
    "model_name_or_path": "tiny",
    "dataset": ("colours",),
    "device": "cpu",
    "threads": 1,
    "max_new_tokens": 6,
    "bootstrap": 50,
    "per_device_eval_batch_size": 4,
}


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation has left."""

    run: RunDirectory
    exit_code: int = 0

    @property
    def events(self) -> list[Event]:
        return [from_record(EVENTS, json.loads(line)) for line in self.run.events.read_bytes().splitlines()]

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.all(Warned)]

    def finished(self) -> RunFinished:
        last = self.events[-1]
        assert isinstance(last, RunFinished), last
        return last

    def failed(self) -> RunFailed:
        last = self.events[-1]
        assert isinstance(last, RunFailed), last
        return last

    def folder(self, part: int = 0) -> Path:
        return self.run.path / read_parts(self.run.path)[part].folder

    def files(self, part: int = 0) -> PartFiles:
        return PartFiles(self.folder(part))

    def rows(self, part: int = 0) -> list[Prediction]:
        return read_predictions(self.files(part).predictions)

    def report(self, part: int = 0) -> Report:
        return read_report(self.folder(part))

    def numbers(self, part: int = 0) -> dict[str, float]:
        return {name: value.value for name, value in self.report(part).values.items()}


def add_set(workspace: Workspace, name: str, lines: list[dict[str, Any]]) -> None:
    """Another data set."""
    info = workspace.data / "dataset_info.json"
    (workspace.data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info.write_text(json.dumps({**json.loads(info.read_text()), name: {"file_name": f"{name}.jsonl"}}))


def new_evaluation(workspace: Workspace, name: str, options: Mapping[str, Any]) -> RunDirectory:
    """A run's folder with its configuration."""
    run = RunDirectory(workspace.runs / name)
    run.path.mkdir(exist_ok=True)
    run.config.write_text(as_yaml(load(EVALUATION, values={**SMALL, **options}), *EVALUATION))
    return run


def evaluate_here(
    workspace: Workspace, name: str, *, resume: bool = False, control: Control | None = None, **options: Any
) -> Evaluated:
    """Evaluate in this process; a run that is resumed keeps its options."""
    run = RunDirectory(workspace.runs / name) if resume else new_evaluation(workspace, name, options)
    os.environ["FINETUI_WORKSPACE"] = str(workspace.root)
    try:
        return Evaluated(run, evaluate(run, Diary(run), control or Control(run)))
    finally:
        del os.environ["FINETUI_WORKSPACE"]


def evaluate_and_die(workspace: Workspace, name: str, arrange: Callable[[], None], **options: Any) -> Evaluated:
    """Evaluate in another process, in which something was arranged that kills it."""
    run = RunDirectory(workspace.runs / name)
    if not run.path.exists():
        new_evaluation(workspace, name, options)

    def work() -> int:
        arrange()
        return evaluate(run, Diary(run), Control(run))

    code = ended(forked(work, {"FINETUI_WORKSPACE": str(workspace.root)}))
    assert code == -signal.SIGKILL, f"it ended by itself: {code}"
    return Evaluated(run, code)


def die() -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
