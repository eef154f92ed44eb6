"""A report with its rows, opened to be looked at: from a part's folder, whether it is finished or still being written,
from a folder of LLaMA-Factory's, or from a predictions file alone.

Rows are kept as they were read; what filters and sorting look at are columns, made when they are first asked for.
Twenty thousand rows open in a fraction of a second and are filtered in a tenth of one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from core.data.problems import shown_path
from core.errors import ReportError
from core.i18n import _
from core.metrics.catalog import metric
from core.metrics.compared import NAMES as COMPARED
from core.metrics.metric import Measuring, Metric, Value
from core.report.files import JournalFollower, in_data_order, read_predictions_file
from core.report.layout import PartFiles, PlannedPart
from core.report.measured import measure, pair_of
from core.report.prediction import Prediction
from core.report.report import EvaluatedSet, Report, Subject
from core.report.review import ReviewBook
from core.report.store import read_parts, read_report, read_scores, with_scores
from core.untrusted import inert_line

Number: TypeAlias = float | None
PREDICTIONS = ("generated_predictions.jsonl", "generated_predictions.txt")
EXACT = "exact_match"

_TEXTS: Mapping[str, Callable[[Prediction], str]] = {
    "prompt": lambda row: row.prompt,
    "predict": lambda row: row.predict,
    "label": lambda row: row.label,
    "worse": lambda row: row.worse,
    "id": lambda row: row.id or str(row.row + 1),
    "thinking": lambda row: row.thinking,
    "error": lambda row: row.error,
    "finish": lambda row: row.finish_reason or "",
}
_NUMBERS: Mapping[str, Callable[[Prediction], Number]] = {
    "row": lambda row: row.row + 1,
    "repeat": lambda row: row.repeat,
    "len": lambda row: len(row.predict),
    "label_len": lambda row: len(row.label),
    "prompt_len": lambda row: len(row.prompt),
    "tokens": lambda row: row.tokens,
    "prompt_tokens": lambda row: row.prompt_tokens,
    "dropped_turns": lambda row: row.dropped_turns,
    "loss": lambda row: row.loss,
    "reward": lambda row: row.reward,
}
TEXT_COLUMNS, NUMBER_COLUMNS = tuple(_TEXTS), tuple(_NUMBERS)


@dataclass(eq=False)
class OpenReport:
    """A report and its rows. `predictions` and the columns belong together by number."""

    path: Path
    """The file that the rows come from."""
    report: Report
    predictions: Sequence[Prediction]
    scores: Mapping[str, Sequence[Number]]
    """A number for each row by metric; `exact_match` is always there."""
    review: ReviewBook
    live: bool = False
    """Rows still come; `refreshed` takes them in."""
    measured: bool = False
    """Whether its numbers are those of a report; else only what is right was counted."""
    notes: tuple[str, ...] = ()
    """What is to be known of the file itself."""
    follower: JournalFollower | None = None
    _columns: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def name(self) -> str:
        """`sailor-lora · telecom_test_100`."""
        return " · ".join(filter(None, (self.report.subject.name, self.report.data.name)))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every column of numbers: metrics first."""
        return tuple(dict.fromkeys((*self.scores, *_NUMBERS)))

    def texts(self, name: str) -> Sequence[str]:
        """A column of texts by its name in `TEXT_COLUMNS`."""
        return self._column(name, _TEXTS[name])

    def folded(self, name: str) -> Sequence[str]:
        """A column of texts without upper case, to search in."""
        key = f"{name} folded"
        if key not in self._columns:
            self._columns[key] = [text.casefold() for text in self.texts(name)]
        return self._columns[key]  # type: ignore[no-any-return]

    def values(self, name: str) -> Sequence[Number]:
        """A column of numbers: a metric's, else one of `NUMBER_COLUMNS`."""
        return self.scores[name] if name in self.scores else self._column(name, _NUMBERS[name])

    def cached(self, name: str, make: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """A column that somebody else knows how to make."""
        if name not in self._columns:
            self._columns[name] = make()
        return self._columns[name]  # type: ignore[no-any-return]

    def _column(self, name: str, of: Callable[[Prediction], Any]) -> Sequence[Any]:
        return self.cached(name, lambda: [of(row) for row in self.predictions])


def open_report(target: Path) -> OpenReport:
    """Open a part's folder, LLaMA-Factory's output folder, or a predictions file.

    Raises:
        ReportError: nothing there can be read as answers.
    """
    if target.is_dir():
        files = PartFiles(target)
        if files.report.is_file() and not _goes_on(files):
            return _finished(files)
        if files.journal.is_file():
            return _unfinished(files)
        for name in PREDICTIONS:
            if (target / name).is_file():
                return _bare(target / name)
        raise _nothing_in(target)
    return _finished(PartFiles(target.parent)) if _belongs_to_report(target) else _bare(target)


def refreshed(opened: OpenReport) -> OpenReport:
    """The report with what came since; the same object when nothing did."""
    if not opened.live or opened.follower is None:
        return opened
    files = PartFiles(opened.folder)
    new = opened.follower.poll()
    if files.report.is_file() and not _goes_on(files):
        return _finished(files)
    return _from_journal(files, opened.follower, (*opened.predictions, *new), opened.review) if new else opened


def scored(
    opened: OpenReport,
    metrics: Sequence[Metric] | None = None,
    measuring: Measuring | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> OpenReport:
    """The same rows measured now: for files without a report, and for other metrics than those that it has.

    Args:
        measuring: not given: what the evaluation was told.

    Raises:
        MetricError: a metric of the user's own fails on a row.
    """
    scores = measure(opened.predictions, metrics, measuring or _as_it_was(opened.report), on_progress)
    columns = {EXACT: _exact(opened.predictions), **scores.rows}
    return replace(opened, report=with_scores(opened.report, scores), scores=columns, measured=True, _columns={})


def _as_it_was(report: Report) -> Measuring:
    """How a report was measured, of its options; one that has another type is as it is by default."""
    default = Measuring()
    names = ("long_label", "list_separator", "bootstrap", "seed")
    told = {name: report.config.get(name) for name in names}
    same = {name: value for name, value in told.items() if type(value) is type(getattr(default, name))}
    return replace(default, **same)  # type: ignore[arg-type]


def _goes_on(files: PartFiles) -> bool:
    """Whether an evaluation that was stopped has been resumed: its journal is younger than its report."""
    with contextlib.suppress(OSError):
        return files.journal.stat().st_mtime > files.report.stat().st_mtime
    return False


def _finished(files: PartFiles) -> OpenReport:
    report = read_report(files.folder)
    read = read_predictions_file(files.predictions)
    scores = read_scores(files.folder, len(read.predictions))
    notes = () if scores else (_("scores.json does not belong to these rows; score them anew: finetui score"),)
    scores.setdefault(EXACT, _exact(read.predictions))
    book, measured = ReviewBook(files.review), bool(report.values)
    return OpenReport(files.predictions, report, read.predictions, scores, book, measured=measured, notes=notes)


def _unfinished(files: PartFiles) -> OpenReport:
    follower = JournalFollower(files.journal)
    before: list[Prediction] = []
    if files.report.is_file():  # rows that failed are asked again: the journal has those alone
        with contextlib.suppress(ReportError):
            before = read_predictions_file(files.predictions).predictions
    return _from_journal(files, follower, (*before, *follower.poll()), ReviewBook(files.review))


def _from_journal(
    files: PartFiles, follower: JournalFollower, rows: Sequence[Prediction], review: ReviewBook
) -> OpenReport:
    predictions = in_data_order({(row.row, row.repeat): row for row in rows}.values())
    part = planned_part(files.folder)
    subject = Subject(part.subject if part else files.folder.name, "")
    report = _counted(subject, EvaluatedSet(part.dataset if part else "", part.rows if part else 0), predictions)
    scores = _known_scores(predictions)
    return OpenReport(files.journal, report, predictions, scores, review, live=True, follower=follower)


def _bare(path: Path) -> OpenReport:
    read = read_predictions_file(path)
    subject = Subject(path.parent.name if path.name in PREDICTIONS else path.stem, "")
    report = _counted(subject, EvaluatedSet("", len(read.predictions), files=(str(path),)), read.predictions)
    scores = _known_scores(read.predictions)
    notes = [_("the last line is torn and was left out")] if read.torn else []
    if read.ignored:
        names = inert_line(", ".join(sorted(read.ignored)))
        notes.append(_("left out, because they mean something else here: {names}").format(names=names))
    review = path.with_name("review.jsonl" if path.name in PREDICTIONS else f"{path.stem}.review.jsonl")
    return OpenReport(path, report, read.predictions, scores, ReviewBook(review), notes=tuple(notes))


def _counted(subject: Subject, data: EvaluatedSet, rows: Sequence[Prediction]) -> Report:
    """What can be told of rows without a report: counts, and how many are right."""
    answered = [row for row in rows if not row.error]
    columns = _known_scores(answered)
    told = {name: metric(name) for name in columns if name != EXACT or len(columns) == 1}
    values = {
        name: Value(sum(filter(None, columns[name])) / len(answered), len(answered), unit=of.unit, better=of.better)
        for name, of in told.items()
        if answered
    }
    return Report(
        subject,
        data,
        values=values,
        answered=len(answered),
        failed=len(rows) - len(answered),
        empty=sum(not row.predict.strip() for row in answered),
        truncated=sum(row.finish_reason == "length" for row in answered),
        repeats=1 + max((row.repeat for row in rows), default=0),
        complete=bool(data.files),
    )


def planned_part(folder: Path) -> PlannedPart | None:
    """What the run says about the part in a folder of its own, or one level above it."""
    for run in (folder, *folder.parents[:2]):
        for part in read_parts(run):
            if (run / part.folder).resolve() == folder.resolve():
                return part
    return None


def foreign_results(folder: Path) -> dict[str, float]:
    """The numbers of LLaMA-Factory's `predict_results.json`, by metric: `bleu-4`."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        told = json.loads(PartFiles(folder).results[0].read_bytes())
        if isinstance(told, dict):
            numbers = {name: value for name, value in told.items() if isinstance(value, (int, float))}
            return {name.removeprefix("predict_"): float(numbers[name]) for name in numbers}
    return {}


def _exact(rows: Sequence[Prediction]) -> list[Number]:
    """An answer that failed says nothing about the model, and counts nowhere."""
    return [None if row.error else 100.0 if row.is_right else 0.0 for row in rows]


def _known_scores(rows: Sequence[Prediction]) -> dict[str, Sequence[Number]]:
    """What can be told of each row without measuring: whether it is right, and of pairs what their scores say."""
    columns: dict[str, Sequence[Number]] = {EXACT: _exact(rows)}
    if any(row.chosen is not None for row in rows):
        measuring = Measuring(bootstrap=0)
        columns |= {
            name: [each(pair_of(row), measuring) for row in rows] for name in COMPARED if (each := metric(name).of_row)
        }
    return columns


def _belongs_to_report(path: Path) -> bool:
    files = PartFiles(path.parent)
    return path.name == files.predictions.name and files.report.is_file()


def _nothing_in(folder: Path) -> ReportError:
    parts = read_parts(folder)
    shown = inert_line(shown_path(folder))
    if parts:
        named = ", ".join(inert_line(part.folder) for part in parts[:10])
        what = _("{path} has several parts").format(path=shown)
        return ReportError(what, _("name one of: {names}").format(names=named))
    what = _("{path} holds no answers").format(path=shown)
    return ReportError(what, _("look for generated_predictions.jsonl; an evaluation is made by: finetui eval"))
