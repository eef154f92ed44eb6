"""Predictions as files: LLaMA-Factory's, those of its forerunners, tables of anybody, and the journal of a running
evaluation.

What another tool wrote is read as it is: JSON lines or one array, `label` or `labels`, with or without prompts; a
spreadsheet's CSV with such headings. A row that cannot be read is an error with its `file:line`; only the end of a file
may be torn, because a writer was killed there.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.dataset_file import replace_file
from core.data.encoding import decode
from core.data.problems import shown_path
from core.errors import RecordError, ReportError
from core.i18n import _
from core.jsonl import Json, append_lines, dump_line
from core.records import from_record, registry, to_record
from core.report.prediction import Prediction
from core.untrusted import inert_line

_CLASSES = registry(Prediction)
_TEXTS = ("prompt", "predict", "label")
_SCORES = ("chosen", "rejected")
_SYNONYMS = {"labels": "label", "prediction": "predict", "reference": "label"}


@dataclass(frozen=True, slots=True)
class PredictionsFile:
    """A file of predictions as it was read."""

    path: Path
    predictions: list[Prediction]
    torn: bool = False
    """Whether the last line is half a line, which was left out."""
    ignored: tuple[str, ...] = ()
    """Keys of another tool's rows that are called like ours and mean something else; they were left out."""


def read_predictions(path: Path) -> list[Prediction]:
    """The rows of a predictions file, in its order.

    Raises:
        ReportError: the file or one of its rows cannot be read.
    """
    return read_predictions_file(path).predictions


def read_predictions_file(path: Path) -> PredictionsFile:
    """Like `read_predictions`, and whether the end of the file was torn."""
    try:
        data = path.read_bytes()
    except OSError as error:
        what = _("{path} cannot be read: {reason}").format(path=_shown(path), reason=error.strerror)
        raise ReportError(what, _("look at its name and permissions")) from error
    text, _encoding = decode(data)
    if path.suffix.lower() in (".csv", ".tsv"):
        rows, torn = _table_rows(text, "\t" if path.suffix.lower() == ".tsv" else ","), False
    elif text.lstrip()[:1] == "[":
        rows, torn = _array_rows(path, text), False
    else:
        rows, torn = _line_rows(path, text)
    ignored: dict[str, None] = {}
    predictions = [_prediction(path, at, line, row, ignored) for at, (line, row) in enumerate(rows)]
    return PredictionsFile(path, predictions, torn, tuple(ignored))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write a predictions file whole or not at all, LLaMA-Factory's keys first in every row."""
    replace_file(path, b"".join(dump_line(prediction_record(prediction)) for prediction in predictions))


def prediction_record(prediction: Prediction) -> Json:
    """A row as it is written: what is not known is left out, its place among the rows never is."""
    record = to_record(prediction)
    del record["type"]
    scores = {name: record[name] for name in _SCORES if name in record}
    return {**scores, **record, "row": prediction.row}


# --- the journal ------------------------------------------------------------------------------------------------


def append_prediction(path: Path, *predictions: Prediction) -> None:
    """Append answers to a journal, all in one write."""
    if predictions:
        append_lines(path, *map(prediction_record, predictions))


def read_journal(path: Path) -> dict[tuple[int, int], Prediction]:
    """The answers of a journal by (row, repeat), in that order; of several for one the last counts."""
    follower = JournalFollower(path)
    latest = {(row.row, row.repeat): row for row in follower.poll()}
    return dict(sorted(latest.items()))


class JournalFollower:
    """Hands out a growing journal's answers, each once. Half a line waits until it is whole; a line that a killed
    writer left is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode = 0

    def poll(self) -> list[Prediction]:
        """The answers that came since the last time; none while there is no file."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [row for line in whole.split(b"\n") if line.strip() and (row := _journal_row(line)) is not None]


def _journal_row(line: bytes) -> Prediction | None:
    try:
        return _made(json.loads(line))
    except (ValueError, RecursionError, TypeError, RecordError):
        return None


# --- rows of others ---------------------------------------------------------------------------------------------


def _line_rows(path: Path, text: str) -> tuple[list[tuple[int, Any]], bool]:
    """Rows with their line numbers, and whether the last line was torn."""
    lines = text.split("\n")
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            rows.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            if number == len(lines) and rows:
                return rows, True
            raise _broken(path, number, _problem(error)) from None
    return rows, False


def _array_rows(path: Path, text: str) -> list[tuple[int, Any]]:
    """Rows of one array; their numbers stand for lines."""
    try:
        return list(enumerate(json.loads(text), start=1))
    except json.JSONDecodeError as error:
        raise _broken(path, error.lineno, _problem(error)) from None
    except (ValueError, RecursionError) as error:
        raise _broken(path, 1, _problem(error)) from None


def _table_rows(text: str, delimiter: str) -> list[tuple[int, Any]]:
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [(reader.line_num, {name: cell for name, cell in row.items() if name}) for row in reader]


def _prediction(path: Path, at: int, line: int, row: Any, ignored: dict[str, None]) -> Prediction:
    """A row as it was read; what had to be left out of it is entered in `ignored`."""
    if not isinstance(row, dict):
        raise _broken(path, line, _("a row is an object"))
    fields: dict[str, Any] = {"row": at, **row} if row.keys().isdisjoint(_SYNONYMS) else {"row": at, **_renamed(row)}
    if _is_number(row.get("chosen")) and _is_number(row.get("rejected")):  # as a reward model's training leaves them
        fields = {"predict": "", "label": "", **fields}
    if "predict" not in fields or "label" not in fields:
        missing = "predict" if "predict" not in fields else "label"
        raise _broken(path, line, _("there is no {name}").format(name=missing), _has(row))
    for name in (*_TEXTS, "id"):
        value = fields.get(name, "")
        if type(value) is not str:
            fields[name] = _text(path, line, name, value)
    fields.setdefault("prompt", "")
    try:
        return _made(fields)
    except RecordError as error:
        if type(row.get("row")) is int:  # a row of ours, which somebody has changed
            raise _broken(path, line, error.message) from None
    return _understood(fields, at, ignored)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _understood(fields: Json, at: int, ignored: dict[str, None]) -> Prediction:
    """What another tool's row says in our words, key by key."""
    kept: Json = {name: fields[name] for name in (*_TEXTS, "id") if name in fields}
    for name in fields.keys() - kept.keys():
        try:
            _made({**kept, name: fields[name]})
        except RecordError:
            ignored[name] = None
        else:
            kept[name] = fields[name]
    return _made({"row": at, **kept})


def _made(fields: Json) -> Prediction:
    return from_record(_CLASSES, {**fields, "type": "prediction"})


def _renamed(row: Json) -> Json:
    return {(_SYNONYMS.get(name, name) if _SYNONYMS.get(name) not in row else name): row[name] for name in row}


def _text(path: Path, line: int, name: str, value: object) -> str:
    """Numbers are told as they are written; nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(value, (int, float, bool)):
        return json.dumps(value)
    raise _broken(path, line, _("{name} is no text").format(name=name))


def _has(row: Json) -> str:
    named = ", ".join(inert_line(str(name))[:40] for name in list(row)[:12])
    return _("its keys are: {names}").format(names=named)


def _problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return _("broken JSON: {problem}, at character {at}").format(problem=error.msg, at=error.colno)
    return _("broken JSON: {problem}").format(problem=str(error) or type(error).__name__)


def _broken(path: Path, line: int, what: str, hint: str = "") -> ReportError:
    return ReportError(f"{_shown(path)}:{line}: {what}", hint or _("every row is {form}").format(form=_FORM))


_FORM = '{"prompt": "…", "predict": "…", "label": "…"}'


def _shown(path: Path) -> str:
    return inert_line(shown_path(path))


def in_data_order(predictions: Iterable[Prediction]) -> list[Prediction]:
    """Rows as the data has them, repeats of one together."""
    return sorted(predictions, key=lambda row: (row.row, row.repeat))
