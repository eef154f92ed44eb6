"""A run's folder: its files by name. Whoever has the folder has the run; nothing about it is kept elsewhere.

One writer at a time for each file. `config.yaml` and `launch.json` are written once by whoever starts the run,
`events.jsonl` by supervisor and trainer in turn, `control/` by everybody who wants something of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

PIPELINE = "pipeline"
"""The kind of a run that starts other runs, one after another."""

Wish: TypeAlias = Literal["stop", "save", "evaluate"]


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A run by its folder, which need not exist yet."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        """Every option; `finetui train RUN/config.yaml` does the same again."""
        return self.path / "config.yaml"

    @property
    def launch(self) -> Path:
        """The command that the supervisor runs, and what there was when it started."""
        return self.path / "launch.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """Standard output and error of everything underneath."""
        return self.path / "output.log"

    @property
    def control(self) -> Path:
        """A file named after a wish is looked for after each step and removed when it is honoured."""
        return self.path / "control"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:06d}"

    def saved_checkpoints(self) -> list[Path]:
        """Whole checkpoints, the oldest first. One is whole when it has its final name."""
        return sorted(self.checkpoints.glob("step-*"), key=lambda path: int(path.name.partition("-")[2]))

    def wish(self, what: Wish) -> None:
        """Ask the run for something; it answers after its current step."""
        self.control.mkdir(exist_ok=True)
        (self.control / what).touch()

    def wishes(self) -> Iterator[Wish]:
        """What is asked for right now."""
        every: tuple[Wish, ...] = ("save", "evaluate", "stop")
        for what in every:
            if (self.control / what).exists():
                yield what

    def granted(self, what: Wish) -> None:
        """A wish has been honoured."""
        (self.control / what).unlink(missing_ok=True)
