"""Tells what a training will be: `python -P -m core.engine.plan CONFIG.yaml [--dry]` writes `core.runs.plan`'s records.

The data is checked and tokenised, which the run then finds in the cache; the rest is counted from headers and options
in a second, without torch. Only `--dry` loads the model, for one real update with the longest batch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from core.config.load import load
from core.config.training import TRAINING
from core.data.checks import BadData
from core.engine.planning.draft import Draft, draft
from core.errors import ConfigError, FinetuiError, Problem
from core.jsonl import dump_line
from core.records import to_record
from core.runs.plan import PlanRecord, Refused
from core.workspace import find_workspace

_QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_MOST_PROBLEMS = 100

Emit = Callable[[PlanRecord], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the records; returns the exit code: 0 there is a plan, 1 there is none."""
    parser = argparse.ArgumentParser(prog="core.engine.plan")
    parser.add_argument("config", type=Path)
    parser.add_argument("--dry", action="store_true")
    typed = parser.parse_args(arguments)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    emit = _records_only()
    try:
        made = draft(load(TRAINING, file=typed.config), find_workspace(), emit)
        emit(made.plan)
        if typed.dry:
            emit(_dry_step(made))
    except FinetuiError as error:
        emit(_refused(error))
        return 1
    return 0


def _dry_step(made: Draft) -> PlanRecord:
    from core.engine.planning.dry import dry_step  # torch and the model's classes: 3 s

    return dry_step(made)


def _records_only() -> Emit:
    """Standard output for records alone: whatever a library prints goes to standard error."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def emit(record: PlanRecord) -> None:
        channel.write(dump_line(to_record(record)))

    return emit


def _refused(error: FinetuiError) -> Refused:
    match error:
        case BadData():
            found = [one for one in error.report.problems if one.severity == "error"]
            problems: Iterable[Problem] = (Problem(one.where, one.what, one.hint) for one in found)
            return Refused(tuple(problems), error.report.errors)
        case ConfigError():
            return Refused(error.problems[:_MOST_PROBLEMS], len(error.problems))
    return Refused((Problem("", error.message, error.hint),), 1)


if __name__ == "__main__":
    sys.exit(main())
