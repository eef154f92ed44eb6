"""Evaluations without a model: folders with answers, numbers and reports as an evaluation writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from core.metrics.catalog import find_metrics
from core.metrics.metric import Measuring
from core.report.layout import PartFiles, PlannedPart
from core.report.measured import measure
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.store import write_parts, write_report
from core.runs.events import Answered, PartScored, StageChanged
from core.runs.launch_file import Launch, write_launch
from scripted_runs import BEGAN, ScriptedRun

METRICS = ("exact_match", "edit_similarity")
"""Those that need no dictionary of words, which takes a second to load."""
QUICK = Measuring(bootstrap=100, processes=1)


def predictions(labels: Sequence[str], answers: Sequence[str]) -> list[Prediction]:
    """Answers to questions that are told by their numbers."""
    return [
        Prediction(f"<user>question {at}</s><assistant>", answer, label, id=f"row-{at}", row=at, finish_reason="stop")
        for at, (label, answer) in enumerate(zip(labels, answers, strict=True))
    ]


def write_part(
    folder: Path,
    rows: Sequence[Prediction],
    *,
    subject: Subject | None = None,
    dataset: str = "exam",
    sha256: str = "ab" * 32,
    metrics: Sequence[str] = METRICS,
    time: float = BEGAN,
    **told: object,
) -> Report:
    """A finished part with everything that belongs to it; `told` are further fields of the report."""
    subject = subject or Subject("demo", "demo", dtype="float32", device="cpu")
    data = EvaluatedSet(dataset, len(rows), sha256)
    scores = measure(rows, find_metrics(metrics), QUICK)
    config = {"max_new_tokens": 64, "temperature": 0.0, "dtype": "float32"}
    report = Report(subject, data, answered=len(rows), config=config, time=time, **told)  # type: ignore[arg-type]
    return write_report(PartFiles(folder), report, rows, scores)


class ScriptedEvaluation(ScriptedRun):
    """Writes what an evaluation would; it is alive as long as the test is, until it ends."""

    def __init__(
        self, folder: Path, parts: Sequence[PlannedPart] = (), *, model: str = "demo", launched: float = BEGAN
    ) -> None:
        super().__init__(folder, model=model, launched=launched)
        datasets = tuple(dict.fromkeys(part.dataset for part in parts)) or ("exam",)
        launch = Launch(("finetui", "eval"), kind="evaluation", time=launched, model=model, datasets=datasets)
        write_launch(self.run, launch)
        os.utime(self.run.launch, (launched, launched))
        self.run.config.write_text(f"model_name_or_path: {model}\ndataset: [{', '.join(datasets)}]\n")
        self.parts = list(parts)
        if parts:
            write_parts(folder, parts)

    def answering(self, part: PlannedPart, done: int, **metrics: float) -> None:
        """How far it is; the parts before this one are done."""
        before = sum(each.rows for each in self.parts[: self.parts.index(part)])
        total = sum(each.rows for each in self.parts)
        self.tell(
            StageChanged(self.now, "answering"),
            Answered(
                self.now,
                part.name,
                done,
                part.rows,
                before + done,
                total,
                rows_per_second=3.5,
                tokens_per_second=120.0,
                elapsed=10.0,
                remaining=20.0,
                metrics=metrics,
            ),
        )

    def scored(self, part: PlannedPart, rows: Sequence[Prediction], **told: object) -> Report:
        """A part has its report."""
        report = write_part(self.run.path / part.folder, rows, dataset=part.dataset, **told)  # type: ignore[arg-type]
        values = {name: value.value for name, value in report.values.items()}
        self.tell(PartScored(self.now, part.name, part.folder, len(rows), 1.0, values))
        return report


def evaluation(
    folder: Path, rows: Sequence[Prediction], *, dataset: str = "exam", subject: Subject | None = None, **told: object
) -> ScriptedEvaluation:
    """A finished evaluation with one part."""
    subject = subject or Subject("demo", "demo", dtype="float32", device="cpu")
    part = PlannedPart(f"{subject.name} · {dataset}", ".", subject.name, dataset, len(rows))
    run = ScriptedEvaluation(folder, [part], model=subject.model)
    run.start(alive=False)
    run.answering(part, len(rows))
    run.scored(part, rows, subject=subject, **told)
    run.finish(len(rows))
    return run
