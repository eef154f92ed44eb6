"""Where an evaluation's files lie: one *part* for each model and test set.

A run with one part has its files in its own folder, where LLaMA-Factory's users look for them; of several, each has a
folder below. `parts.json` is written when the run begins, so that a screen knows all of it from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files of a part, by its folder."""

    folder: Path

    @property
    def journal(self) -> Path:
        """Every answer as soon as it is there, in the order of finishing; gone when `predictions` is whole."""
        return self.folder / "answers.jsonl"

    @property
    def predictions(self) -> Path:
        """All answers in the data's order."""
        return self.folder / "generated_predictions.jsonl"

    @property
    def scores(self) -> Path:
        """`{"bleu-4": [12.5, …], …}`: a number for each line of `predictions`."""
        return self.folder / "scores.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @property
    def review(self) -> Path:
        """Verdicts and notes of people, appended."""
        return self.folder / "review.jsonl"

    @property
    def results(self) -> tuple[Path, Path]:
        """LLaMA-Factory's: `predict_results.json`, `all_results.json`."""
        return self.folder / "predict_results.json", self.folder / "all_results.json"


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part as `parts.json` names it."""

    name: str
    """`sailor-lora · telecom_test_100`."""
    folder: str
    """Relative to the run's folder; `.` when there is one part alone."""
    subject: str
    dataset: str
    rows: int = 0
    """Answers that there will be, repeats counted."""
    asked: str = ""
    """SHA-256 of the rows as they are asked: answers to others are not mixed with these."""
    weights: str = ""
    """SHA-256 of who answers, an adapter's weights or a model's configuration: answers of others are not either."""
