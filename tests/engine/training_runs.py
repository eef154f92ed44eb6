"""Small trainings: a workspace with rows and a tiny model, runs in it, in this process or in a forked one.

A forked process has everything imported already, so killing one costs nothing.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import accelerate.state
import torch

from core.config.load import load
from core.config.save import as_yaml
from core.config.training import TRAINING
from core.engine.control import Control
from core.engine.train import main, train
from core.engine.training.journal import Journal
from core.records import from_record
from core.runs.events import EVENTS, Evaluation, Event, RunFailed, RunFinished, Step, Warned
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tiny_models import make_model
from waiting import until

E = TypeVar("E")
WORDS = ("red", "orange", "blue", "deep green", "white", "a dark shade of grey", "black")
SMALL: dict[str, Any] = {
    "model_name_or_path": "tiny",
    "dataset": ("colours",),
    "device": "cpu",
    "threads": 1,
    "per_device_train_batch_size": 4,
    "learning_rate": 5e-3,
    "logging_steps": 1,
    "save_strategy": "no",
    "plot_loss": False,
    "probe_max_new_tokens": 0,
}


def make_workspace(root: Path, kind: str = "llama", rows: int = 26) -> Workspace:
    """A workspace with the set `colours` and the model `tiny`."""
    (root / "data").mkdir(parents=True)
    (root / "runs").mkdir()
    lines = [
        {"instruction": f"What is number {i}?", "input": "", "output": f"{WORDS[i % 7]} {'and so on ' * (i % 3)}"}
        for i in range(rows)
    ]
    (root / "data" / "colours.json").write_text(json.dumps(lines))
    (root / "data" / "dataset_info.json").write_text(json.dumps({"colours": {"file_name": "colours.json"}}))
    make_model(root / "models" / "tiny", kind)
    return Workspace(root)


@dataclass(frozen=True)
class Trained:
    """What a run has left."""

    run: RunDirectory
    exit_code: int

    @property
    def events(self) -> list[Event]:
        lines = self.run.events.read_bytes().splitlines()
        return [from_record(EVENTS, json.loads(line)) for line in lines]

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> list[float]:
        return [event.loss for event in self.all(Step)]

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.all(Warned)]

    @property
    def evaluations(self) -> list[Evaluation]:
        return self.all(Evaluation)

    def finished(self) -> RunFinished:
        assert isinstance(self.last, RunFinished), self.last
        return self.last

    def failed(self) -> RunFailed:
        assert isinstance(self.last, RunFailed), self.last
        return self.last

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.run.path / "trainer_log.jsonl").read_bytes().splitlines()]

    def weights(self) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        (path,) = self.run.path.glob("*.safetensors")
        return dict(load_file(path))


def new_run(workspace: Workspace, name: str, options: Mapping[str, Any]) -> RunDirectory:
    """A run's folder with its configuration."""
    run = RunDirectory(workspace.runs / name)
    run.path.mkdir(exist_ok=True)
    settings = load(TRAINING, values={**SMALL, **options})
    run.config.write_text(as_yaml(settings, *TRAINING))
    return run


def train_here(
    workspace: Workspace, name: str, *, resume: str = "", control: Control | None = None, **options: Any
) -> Trained:
    """Train in this process; a run that is resumed keeps its options."""
    run = RunDirectory(workspace.runs / name) if resume else new_run(workspace, name, options)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    os.environ["FINETUI_WORKSPACE"] = str(workspace.root)
    try:
        return Trained(run, train(run, resume, Journal(run), control or Control(run)))
    finally:
        del os.environ["FINETUI_WORKSPACE"]


def forked(work: Callable[[], int], environment: Mapping[str, str] | None = None) -> int:
    """Start something in a copy of this process; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(environment or {})
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        code = work()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a forked process; its exit code, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_when(pid: int, seen: Callable[[], bool], number: int = signal.SIGKILL) -> int:
    """Send a signal as soon as something is seen; the exit code."""
    send_when(pid, seen, number)
    return ended(pid)


def send_when(pid: int, seen: Callable[[], bool], number: int) -> None:
    """Send a signal as soon as something is seen."""

    def is_seen() -> bool:
        is_over = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        assert seen() or not is_over, f"it ended by itself: {ended(pid)}"
        return seen()

    until(is_seen, "what was to be seen")
    os.kill(pid, number)


def is_told(kind: type[Event], step: int) -> Callable[[Event], bool]:
    """Whether an event is of a kind and at a step or behind it."""
    return lambda event: isinstance(event, kind) and getattr(event, "step", 0) >= step


def signalled_behind(
    run: RunDirectory,
    workspace: Workspace,
    seen: Callable[[Event], bool],
    number: int = signal.SIGKILL,
    *,
    waits: Callable[[Event], bool] | None = None,
) -> int:
    """Train in a process of its own and send it a signal when it has told something.

    The process waits there for the signal: on a busy machine it would be at its end before.

    Args:
        seen: what it has told by then.
        waits: where it waits instead, so that the signal meets it anywhere in between.

    Returns:
        Its exit code, or minus the signal that ended it.
    """
    reached, sent = (workspace.root / f"{run.name}.{word}" for word in ("reached", "sent"))
    tell = Journal.tell

    def tell_and_wait(journal: Journal, event: Event, *, durable: bool = False) -> None:
        tell(journal, event, durable=durable)
        if seen(event):
            reached.touch()
        while (waits or seen)(event) and not sent.exists():
            time.sleep(0.002)

    def work() -> int:
        Journal.tell = tell_and_wait  # type: ignore[method-assign]  # in a copy of this process
        return main([str(run.path)])

    pid = forked(work, {"FINETUI_WORKSPACE": str(workspace.root)})
    send_when(pid, reached.exists, number)
    sent.touch()
    return ended(pid)
