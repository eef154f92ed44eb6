"""Output folders of LLaMA-Factory and of transformers' Trainer, told as events, so that old runs can be looked at.

`trainer_log.jsonl` has the points (of a resumed run several for one step: the last one counts), `trainer_state.json`
the gradient norms, or everything where there is no log, `all_results.json` the end.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.jsonl import numbered_lines
from core.runs.events import Evaluation, Event, RunFinished, RunStarted, Step

_LOG, _STATE, _RESULTS = "trainer_log.jsonl", "trainer_state.json", "all_results.json"
_Record = dict[str, Any]


def is_foreign_run(folder: Path) -> bool:
    """Whether another tool trained here, and finetui did not."""
    return not (folder / "events.jsonl").exists() and any((folder / name).is_file() for name in (_LOG, _STATE))


def read_foreign(folder: Path) -> list[Event]:
    """What a finished run of another tool would have told."""
    state = _object(folder / _STATE)
    history = [row for row in state.get("log_history") or [] if isinstance(row, dict)]
    norms = {_step(row): row["grad_norm"] for row in history if _is_number(row.get("grad_norm"))}
    points = _last_of_each_step(_log_rows(folder / _LOG) or map(_as_log_row, history))
    total = max((int(_number(row, "total_steps", 0)) for row in points), default=0) or int(state.get("max_steps") or 0)
    ended = max((path.stat().st_mtime for path in folder.glob("train*.js*")), default=0.0)
    seconds = max((_seconds(row.get("elapsed_time")) for row in points), default=0.0)
    began = ended - seconds
    events: list[Event] = [RunStarted(began, 0, 0.0, "")]
    events += (_event(row, norms, total, began) for row in points)
    results = {name: float(value) for name, value in _object(folder / _RESULTS).items() if _is_number(value)}
    events.append(RunFinished(ended, "completed", max(map(_step, points), default=0), results))
    return events


def _event(row: _Record, norms: Mapping[int, float], total: int, began: float) -> Event:
    step, elapsed = _step(row), _seconds(row.get("elapsed_time"))
    epoch = _number(row, "epoch", 0.0)
    if "loss" not in row:
        prefix = "eval_"
        metrics = {name.removeprefix(prefix): float(row[name]) for name in row if _is_metric(name, row[name])}
        return Evaluation(began + elapsed, step, epoch, metrics, 0, 0.0)
    return Step(
        time=began + elapsed,
        step=step,
        total_steps=total,
        epoch=epoch,
        loss=_number(row, "loss", math.nan),
        grad_norm=norms.get(step, math.nan),
        learning_rate=_number(row, "lr", _number(row, "learning_rate", math.nan)),
        rows=0,
        tokens=int(_number(row, "total_tokens", 0)),
        rows_per_second=math.nan,
        tokens_per_second=_number(row, "throughput", math.nan),
        elapsed=elapsed,
        remaining=0.0,
        metrics={name: float(row[name]) for name in ("reward", "accuracy") if _is_number(row.get(name))},
    )


def _is_metric(name: str, value: object) -> bool:
    return name.startswith("eval_") and not name.endswith(("_runtime", "_per_second")) and _is_number(value)


def _log_rows(path: Path) -> list[_Record]:
    """The rows that can be read: a killed writer leaves half a line."""
    rows = []
    with contextlib.suppress(OSError):
        for _line_number, line in numbered_lines(path.read_bytes() + b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict) and ("loss" in row or "eval_loss" in row):
                    rows.append(row)
    return rows


def _as_log_row(row: _Record) -> _Record:
    return {**row, "current_steps": row.get("step")}


def _last_of_each_step(rows: Iterator[_Record] | list[_Record]) -> list[_Record]:
    kept = {(_step(row), "loss" in row): row for row in rows if "loss" in row or "eval_loss" in row}
    return [kept[key] for key in sorted(kept)]


def _object(path: Path) -> _Record:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        value = json.loads(path.read_bytes())
        if isinstance(value, dict):
            return value
    return {}


def _step(row: _Record) -> int:
    return int(_number(row, "current_steps", _number(row, "step", 0)))


def _number(row: _Record, name: str, default: float) -> float:
    value = row.get(name)
    return float(value) if _is_number(value) else default  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _seconds(text: object) -> float:
    """Of `1 day, 2:03:04` or `0:12:05`."""
    if not isinstance(text, str):
        return 0.0
    days, comma, clock = text.rpartition(", ")
    with contextlib.suppress(ValueError, IndexError):
        hours, minutes, seconds = (float(part) for part in clock.split(":"))
        whole_days = int(days.split()[0]) if comma else 0
        return whole_days * 86400 + hours * 3600 + minutes * 60 + seconds
    return 0.0
