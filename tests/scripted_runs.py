"""Runs without a trainer: folders whose events are written as a test says."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from core.jsonl import append_lines
from core.records import to_record
from core.runs.alive import start_time
from core.runs.events import (
    CheckpointSaved,
    DataReady,
    Evaluation,
    Event,
    ModelReady,
    ModelsBeside,
    Queued,
    RunFailed,
    RunFinished,
    RunStarted,
    Sample,
    StageChanged,
    Step,
    Warned,
)
from core.runs.launch_file import Launch, write_launch
from core.runs.rundir import RunDirectory

BEGAN = 1_800_000_000.0
_NOBODY = 2**22 + 1
"""No process has this pid: it is above what Linux gives out."""


class ScriptedRun:
    """Writes what a run would; it is alive as long as the test is, until it ends."""

    def __init__(
        self, folder: Path, *, total: int = 100, model: str = "demo", launched: float = BEGAN, stage: str = "sft"
    ) -> None:
        folder.mkdir(parents=True)
        self.run = RunDirectory(folder)
        self.total = total
        self.now = launched
        self.configure(model_name_or_path=model, dataset="intro", lora_rank=4, stage=stage)
        launch = Launch(
            ("finetui", "train"), time=launched, model=model, method="lora", stage=stage, datasets=("intro",)
        )
        write_launch(self.run, launch)
        os.utime(self.run.launch, (launched, launched))

    def configure(self, **options: object) -> None:
        """Put options into its config.yaml, beside those that are there."""
        with self.run.config.open("a") as file:
            file.writelines(f"{name}: {value}\n" for name, value in options.items())

    def tell(self, *events: Event) -> None:
        append_lines(self.run.events, *map(to_record, events))

    def start(self, *, segment: int = 1, resumed_from: str = "", alive: bool = True) -> None:
        """Its supervisor is this process, or one that has gone."""
        pid, started = (os.getpid(), start_time(os.getpid()) or 0.0) if alive else (_NOBODY, 1.0)
        self.tell(RunStarted(self.now, pid, started, socket.gethostname(), segment=segment, resumed_from=resumed_from))

    def wait(self, holder: str) -> None:
        self.tell(Queued(self.now, "cpu", holder))

    def ready(self) -> None:
        """Rows and model are there."""
        self.tell(
            StageChanged(self.now, "data", 0.5),
            DataReady(self.now, 400, 20_000, 4_000, 40, 3, 0, self.total, 50.0),
            ModelReady(self.now, "demo", "lora", 135_000_000, 460_800, "float32", "cpu", 1, 2, ("no padding",)),
            StageChanged(self.now, "training"),
        )

    def beside(
        self, reference: str = "telecom (adapter) on demo", reward: str = "telecom-rm", kind: str = "lora"
    ) -> None:
        """What it is held against, and what scores it."""
        self.tell(ModelsBeside(self.now, reference, "ab" * 32, True, reward, kind))

    def step(
        self, step: int, loss: float, *, grad_norm: float = 1.0, memory: int = 900_000_000, **metrics: float
    ) -> None:
        self.now += 1.0
        self.tell(
            Step(
                time=self.now,
                step=step,
                total_steps=self.total,
                epoch=step / 50,
                loss=loss,
                grad_norm=grad_norm,
                learning_rate=5e-5 * (1 - step / self.total),
                rows=8 * step,
                tokens=400 * step,
                rows_per_second=8.0,
                tokens_per_second=400.0 + step,
                elapsed=float(step),
                remaining=float(self.total - step),
                memory=memory,
                metrics=metrics,
            )
        )

    def steps(self, first: int, last: int, *, every: int = 10) -> None:
        """Points of a loss that falls from 2."""
        for step in range(first, last + 1, every):
            self.step(step, 2.0 / (1 + step / 20))

    def ppo_steps(self, first: int, last: int, *, every: int = 10) -> None:
        """Points of a policy that learns: its reward rises, and it moves away from its reference."""
        for step in range(first, last + 1, every):
            share = step / self.total
            self.step(
                step,
                0.4 - 0.2 * share,
                reward=-1 + 2.5 * share,
                kl=4 * share,
                entropy=2 - share,
                answer_tokens=40 - 10 * share,
                reward_spread=0.5,
                reward_normalised=0.25,
                kl_coef=0.2,
                policy_loss=-0.02,
                value_loss=0.3,
                clip_fraction=0.04,
                approx_kl=0.01,
                explained_variance=0.6,
                eos_rate=0.9,
                repeated_rate=0.05,
                rollout_seconds=2.5,
                score_seconds=0.5,
                update_seconds=3.0,
            )

    def pair_steps(self, first: int, last: int, *, every: int = 10) -> None:
        """Points of a model that learns which of two answers is the better one."""
        for step in range(first, last + 1, every):
            share = step / self.total
            loss = 0.7 - 0.5 * share
            self.step(
                step, loss, accuracy=0.5 + share / 2, margin=2 * share, chosen_reward=share, rejected_reward=-share
            )

    def evaluate(self, step: int, loss: float, *, best: bool = False) -> None:
        self.tell(Evaluation(self.now, step, step / 50, {"loss": loss, "perplexity": 2.0}, 40, 1.0, best=best))

    def answer(self, step: int, prompt: str, answer: str, reward: float | None = None) -> None:
        self.tell(Sample(self.now, step, prompt, answer, reward))

    def save(self, step: int, *, best: bool = False) -> Path:
        """A checkpoint, with an adapter that only looks like one."""
        path = self.run.checkpoint(step)
        path.mkdir(parents=True)
        (path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "base_model_name_or_path": "demo"}')
        name = path.relative_to(self.run.path).as_posix()
        self.tell(CheckpointSaved(self.now, step, name, 3_700_000, 0.2, best))
        return path

    def warn(self, message: str, hint: str = "") -> None:
        self.tell(Warned(self.now, message, hint))

    def log(self, text: str) -> None:
        with self.run.log.open("a") as file:
            file.write(text)

    def finish(self, step: int | None = None, *, stopped: bool = False) -> None:
        step = self.total if step is None else step
        self.tell(RunFinished(self.now, "stopped" if stopped else "completed", step, {"train_loss": 0.5}))

    def fail(self, error: str, hint: str = "") -> None:
        self.tell(RunFailed(self.now, error, hint, "Traceback …"))
