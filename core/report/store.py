"""An evaluation's files, written so that a reader never meets half of one.

Every file is put in its place whole, `report.json` last: where it stands, the rest stands too. The journal leaves only
after that, so that a kill at any moment leaves either the journal or everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.data.dataset_file import replace_file
from core.data.problems import shown_path
from core.errors import RecordError, ReportError
from core.i18n import _
from core.metrics.metric import Scores
from core.metrics.shown import learn
from core.records import from_record, registry, to_record
from core.report.files import write_predictions
from core.report.layout import PartFiles, PlannedPart
from core.report.prediction import Prediction
from core.report.report import SCHEMA, Report
from core.untrusted import inert_line
from core.workspace import write_json

PARTS = "parts.json"
_CLASSES = registry(Report, PlannedPart)
_COMPATIBLE_RUNTIMES = {
    "predict_model_preparation_time": ("loading", 4),
    "predict_runtime": ("seconds", 4),
    "predict_samples_per_second": ("rows_per_second", 3),
    "predict_steps_per_second": ("steps_per_second", 3),
}
"""What transformers calls them, and the decimals that it rounds them to."""


def write_report(files: PartFiles, report: Report, predictions: Iterable[Prediction], scores: Scores) -> Report:
    """Write all files of a part; `report` takes its numbers from `scores`.

    Args:
        predictions: in the data's order.

    Returns:
        The report as it was written.
    """
    files.folder.mkdir(parents=True, exist_ok=True)
    write_predictions(files.predictions, predictions)
    write_scores(files.scores, scores.rows)
    report = with_scores(report, scores)
    _write_results(files, report, scores.compatible)
    write_json(files.report, {"schema": SCHEMA, **to_record(report)})
    if report.complete:
        files.journal.unlink(missing_ok=True)
    return report


def with_scores(report: Report, scores: Scores) -> Report:
    """The report with these numbers; one that is not finite is left out, and said."""
    finite = {name: value for name, value in scores.values.items() if math.isfinite(value.value)}
    left_out = tuple(_("{name} is no finite number").format(name=name) for name in scores.values if name not in finite)
    return dataclasses.replace(
        report,
        values=finite,
        artefacts=scores.artefacts,
        confusion=scores.confusion,
        notes=tuple(dict.fromkeys((*report.notes, *left_out))),
    )


def read_report(folder: Path) -> Report:
    """The report of a part by its folder.

    Raises:
        ReportError: there is none, it cannot be read, or a newer finetui wrote it.
    """
    path = PartFiles(folder).report
    record = _object(path)
    schema = record.get("schema", 1)
    if isinstance(schema, int) and schema > SCHEMA:
        what = _("{path} has schema {schema}; this finetui reads up to {known}")
        raise ReportError(
            what.format(path=_shown(path), schema=schema, known=SCHEMA),
            _("a newer finetui wrote it: update this one"),
        )
    try:
        report = from_record(_CLASSES, {**record, "type": "report"})
    except RecordError as error:
        raise ReportError(f"{_shown(path)}: {error.message}", _("score its predictions anew: finetui score")) from None
    assert isinstance(report, Report)
    learn(report.values)
    return report


def read_scores(folder: Path, rows: int) -> dict[str, list[float | None]]:
    """The numbers of each row by metric; those that do not belong to so many rows are left out."""
    with contextlib.suppress(ReportError):
        columns = _object(PartFiles(folder).scores)
        return {name: column for name, column in columns.items() if isinstance(column, list) and len(column) == rows}
    return {}


def write_scores(path: Path, columns: Mapping[str, Sequence[float | None]]) -> None:
    """A number for each row, by metric."""
    finite = {name: [_finite(value) for value in column] for name, column in columns.items()}
    write_compact(path, finite)


def write_parts(run: Path, parts: Sequence[PlannedPart]) -> None:
    """Say what an evaluation will consist of."""
    write_json(run / PARTS, {"schema": SCHEMA, "parts": [dataclasses.asdict(part) for part in parts]})


def read_parts(run: Path) -> tuple[PlannedPart, ...]:
    """The parts of an evaluation; none where it has not said so."""
    with contextlib.suppress(ReportError, RecordError, TypeError):
        listed = _object(run / PARTS).get("parts")
        parts = [from_record(_CLASSES, {**part, "type": "planned_part"}) for part in listed or ()]
        return tuple(part for part in parts if isinstance(part, PlannedPart))
    return ()


def write_compact(path: Path, value: Mapping[str, Any]) -> None:
    """Like `write_json`, on one line: for long columns of numbers."""
    replace_file(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n")


def _write_results(files: PartFiles, report: Report, compatible: Mapping[str, float]) -> None:
    """LLaMA-Factory's result files; what a training left in `all_results.json` stays."""
    runtimes = {"steps_per_second": report.runtimes.get("rows_per_second", 0.0), **report.runtimes}
    known = {key: of for key, of in _COMPATIBLE_RUNTIMES.items() if of[0] in runtimes}
    told = {key: round(runtimes[name], decimals) for key, (name, decimals) in known.items()}
    results = dict(sorted({**compatible, **told}.items()))
    own, every = files.results
    write_json(own, results)
    before: dict[str, Any] = {}
    with contextlib.suppress(ReportError):
        before = _object(every)
    write_json(every, {**before, **results})


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        what = _("{path} cannot be read: {reason}").format(path=_shown(path), reason=error.strerror)
        raise ReportError(what, _("look at its name and permissions")) from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{_shown(path)}: " + _("broken JSON: {problem}").format(problem=error)) from error
    if not isinstance(value, dict):
        raise ReportError(f"{_shown(path)}: " + _("expected an object"))
    return value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _shown(path: Path) -> str:
    return inert_line(shown_path(path))
