"""The files that LLaMA-Factory and transformers' trainer leave in a folder: same names, same keys, true numbers.

    trainer_log.jsonl     a line at each point and each evaluation, as it goes
    trainer_state.json    the whole history, at each checkpoint and at the end
    train_results.json, eval_results.json, predict_results.json, all_results.json

Rows and tokens a second count what was consumed, not steps times batch size. What a stage tells besides is called as
TRL calls it where that is the factory's trainer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from core.engine.training.evaluate import Evaluated
from core.engine.training.progress import Progress
from core.jsonl import Json, append_lines, dump_line
from core.runs.events import Step
from core.runs.quantities import TrainingStage
from core.workspace import write_json

_THEIR_NAMES: Mapping[TrainingStage, Mapping[str, str]] = {
    "dpo": {
        "accuracy": "rewards/accuracies",
        "margin": "rewards/margins",
        "chosen_reward": "rewards/chosen",
        "rejected_reward": "rewards/rejected",
        "chosen_logp": "logps/chosen",
        "rejected_logp": "logps/rejected",
    },
}
_IN_LOG = ("accuracy", "reward")
"""What each line of `trainer_log.jsonl` has besides, where a stage tells it."""


class FactoryFiles:
    """The files of one run's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "trainer_log.jsonl"
        self.history: list[Json] = []
        self.settings: Json = {}
        """What `trainer_state.json` says about options: max_steps, num_train_epochs, …"""
        self.prediction: Json = {}
        """What predictions at the end of the training came to, where it makes some."""
        self.stage: TrainingStage = "sft"

    def begin(self, state_file: Path | None, step: int) -> None:
        """Start empty, or where a checkpoint ends: later lines are of a future that did not come."""
        if state_file is None:
            self._log.unlink(missing_ok=True)
            return
        self.history = json.loads(state_file.read_bytes())["log_history"] if state_file.is_file() else []
        if self._log.is_file():
            lines = (_parsed(line) for line in self._log.read_bytes().splitlines())
            kept = [line for line in lines if line is not None and line.get("current_steps", 0) <= step]
            _replace(self._log, b"".join(map(dump_line, kept)))

    def add_point(self, step: Step) -> None:
        """A point of the curves."""
        self.history.append(
            {
                "epoch": round(step.epoch, 4),
                "grad_norm": step.grad_norm,
                "learning_rate": step.learning_rate,
                "loss": step.loss,
                "num_input_tokens_seen": step.tokens,
                "step": step.step,
                **self._named(step.metrics),
            }
        )
        told = {name: step.metrics[name] for name in _IN_LOG if name in step.metrics}
        line = {"loss": step.loss, **told, "lr": step.learning_rate, "epoch": round(step.epoch, 4)}
        self._append(step.step, step.total_steps, line, step.elapsed, step.remaining, step.tokens)

    def add_evaluation(self, found: Evaluated, progress: Progress, remaining: float) -> Json:
        """An evaluation: `eval_loss`, and `eval_NAME_loss` for each of several data sets.

        Returns:
            The row of the history.
        """
        row = evaluation_metrics(found, self._named)
        self.history.append({**row, "step": progress.step})
        told = {name: value for name, value in row.items() if name.endswith(("_loss", "_reward"))}
        line = {**told, "epoch": row["epoch"]}
        self._append(progress.step, self.settings["max_steps"], line, progress.elapsed, remaining, progress.tokens)
        return row

    def _named(self, metrics: Mapping[str, float]) -> dict[str, float]:
        names = _THEIR_NAMES.get(self.stage, {})
        return {names.get(name, name): value for name, value in metrics.items()}

    def _append(self, step: int, total: int, line: Json, elapsed: float, remaining: float, tokens: int) -> None:
        record = {
            "current_steps": step,
            "total_steps": total,
            **line,
            "percentage": round(100 * step / total, 2) if total else 100.0,
            "elapsed_time": str(timedelta(seconds=int(elapsed))),
            "remaining_time": str(timedelta(seconds=int(remaining))),
            "throughput": round(tokens / elapsed, 2) if elapsed > 0 else 0.0,
            "total_tokens": tokens,
        }
        try:
            append_lines(self._log, record, mode=0o644)
        except OSError as error:  # a full disk; the events have said so
            print(f"{self._log.name}: {error}", file=sys.stderr)

    def write_state(self, folder: Path, progress: Progress, best_checkpoint: str | None) -> None:
        """`trainer_state.json`, with the keys that transformers reads."""
        standing = progress.standing
        state = {
            "best_global_step": standing.best_step,
            "best_metric": standing.best_value,
            "best_model_checkpoint": best_checkpoint,
            "epoch": self.history[-1]["epoch"] if self.history else 0.0,
            "global_step": progress.step,
            "is_hyper_param_search": False,
            "is_local_process_zero": True,
            "is_world_process_zero": True,
            "log_history": self.history,
            "num_input_tokens_seen": progress.tokens,
            "stateful_callbacks": {},
            "total_flos": 0.0,
            "trial_name": None,
            "trial_params": None,
            **self.settings,
        }
        write_json(folder / "trainer_state.json", dict(sorted(state.items())))

    def write_results(self, train: Json, evaluation: Json) -> None:
        """The results by split and all together."""
        found = {"train": train, "eval": evaluation, "predict": self.prediction}
        found["all"] = {**evaluation, **train, **self.prediction}
        for name, metrics in found.items():
            if metrics:
                write_json(self._folder / f"{name}_results.json", dict(sorted(metrics.items())))


def train_metrics(progress: Progress, epoch: float, samples: int, flos: float) -> Json:
    """What a training came to. Per second: rows and updates really done, over the training time of all segments."""
    seconds = max(progress.elapsed, 1e-9)
    return {
        "epoch": round(epoch, 4),
        "num_input_tokens_seen": progress.tokens,
        "total_flos": flos,
        "train_loss": progress.loss / max(progress.step, 1),
        "train_runtime": round(progress.elapsed, 4),
        "train_samples": samples,
        "train_samples_per_second": round(progress.rows / seconds, 3),
        "train_steps_per_second": round(progress.step / seconds, 3),
    }


def evaluation_metrics(
    found: Evaluated, named: Callable[[Mapping[str, float]], Mapping[str, float]] = lambda metrics: metrics
) -> Json:
    """Metrics over all evaluation rows as `eval_loss`, and those of each of several data sets as `eval_NAME_loss`."""
    row: Json = {}
    for result in found.results if len(found.results) > 1 else ():
        row |= {f"eval_{result.dataset}_{name}": value for name, value in named(result.metrics).items()}
    seconds = max(found.seconds, 1e-9)
    return {
        **row,
        **{f"eval_{name}": value for name, value in named(found.metrics).items()},
        "eval_runtime": round(found.seconds, 4),
        "eval_samples": found.rows,
        "eval_samples_per_second": round(found.rows / seconds, 3),
        "eval_steps_per_second": round(found.batches / seconds, 3),
        "epoch": round(found.epoch, 4),
    }


def evaluation_row(history: Sequence[Json], step: int | None) -> Json:
    """The metrics of the last evaluation, or of the last one at a step; nothing where there was none."""
    rows = [row for row in history if "eval_runtime" in row and (step is None or row["step"] == step)]
    return {name: value for name, value in rows[-1].items() if name != "step"} if rows else {}


def _parsed(line: bytes) -> Json | None:
    """A line, or None for the half one of a process that was killed."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
