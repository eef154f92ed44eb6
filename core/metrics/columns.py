"""A number for each row and metric, by all cores where there is enough to do.

Other cores are reached by programs of their own, which are sent the rows and send back the numbers: a caller may have
threads, which do not survive a fork, and multiprocessing would import its main module again. The caller does the first
share itself. A process that dies (memory) costs time, no rows: its share is then done here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, TypeAlias

from core.errors import MetricError
from core.hardware import free_physical_cores
from core.i18n import _
from core.metrics.catalog import METRICS, find_metrics, metric
from core.metrics.metric import Measuring, Metric, Pair

Column: TypeAlias = list[float | None]

_SHARE = 500_000
"""Characters that are worth a process of their own: it takes 0.6 s to begin with, they some 3 s."""
_TOLD_EVERY = 256


def row_scores(
    pairs: Sequence[Pair],
    metrics: Sequence[Metric],
    measuring: Measuring,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Column]:
    """By metric a number for each row, None where it does not count.

    Raises:
        MetricError: a metric of the user's own fails; the row is named.
    """
    shares = _shares(pairs, measuring) if all(map(_can_be_sent, metrics)) else [slice(0, len(pairs))]
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(_Other(pairs, share, metrics, measuring)) for share in shares[1:]]
        done = [score_rows(pairs[shares[0]], metrics, measuring, on_progress=on_progress)]
        for other in others:
            share = other.share
            done.append(other.columns() or score_rows(pairs[share], metrics, measuring, share.start))
    return {name: [value for columns in done for value in columns[name]] for name in done[0]}


def score_rows(
    pairs: Sequence[Pair],
    metrics: Sequence[Metric],
    measuring: Measuring,
    first: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Column]:
    """The same here and now, for the rows from number `first` on."""
    columns: dict[str, Column] = {metric.name: [] for metric in metrics}
    functions = [(columns[metric.name], metric.of_row) for metric in metrics if metric.of_row is not None]
    for done, pair in enumerate(pairs, start=1):
        try:
            for column, function in functions:
                column.append(function(pair, measuring))
        except MetricError as error:
            row = _("row {number}: {message}").format(number=first + done, message=error.message)
            raise MetricError(row, error.hint) from error
        if on_progress is not None and done % _TOLD_EVERY == 0:
            on_progress(done / len(pairs))
    return columns


def _shares(pairs: Sequence[Pair], measuring: Measuring) -> list[slice]:
    """Parts of the rows with about as many characters each, one for each process."""
    lengths = [len(pair.predict) + len(pair.label) for pair in pairs]
    total = sum(lengths)
    processes = measuring.processes
    if not processes:
        processes = min(free_physical_cores(), total // _SHARE) if total >= 2 * _SHARE else 1
    starts, so_far = [0], 0
    for at, length in enumerate(lengths):
        if len(starts) < processes and so_far >= total * len(starts) / processes:
            starts.append(at)
        so_far += length
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True)]


def _can_be_sent(chosen: Metric) -> bool:
    """Whether another process finds it by its name or file."""
    return bool(chosen.source) or (chosen.name in METRICS and metric(chosen.name) is chosen)


class _Other:
    """A process with its share of the rows; leaving the context ends it."""

    def __init__(self, pairs: Sequence[Pair], share: slice, metrics: Sequence[Metric], measuring: Measuring) -> None:
        self.share = share
        self._job = {
            "names": [metric.source or metric.name for metric in metrics],
            "measuring": dataclasses.asdict(measuring),
            "first": share.start,
            "pairs": [dataclasses.astuple(pair) for pair in pairs[share]],
        }

    def __enter__(self) -> _Other:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
        with contextlib.suppress(BrokenPipeError), self._pipe(self._process.stdin) as pipe:
            pipe.write(json.dumps(self._job).encode())
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def columns(self) -> dict[str, Column] | None:
        """What it found out; None when it died.

        Raises:
            MetricError: a metric of the user's own failed there.
        """
        try:
            told: Mapping[str, Any] = json.loads(self._pipe(self._process.stdout).read())
        except ValueError:
            return None
        if "error" in told:
            raise MetricError(*told["error"])
        columns: dict[str, Column] = told["columns"]
        return columns


def main() -> None:
    """Score the rows that standard input brings."""
    job = json.loads(sys.stdin.buffer.read())
    answer, sys.stdout = sys.stdout, sys.stderr  # a user's metric may print
    pairs, measuring = [Pair(*pair) for pair in job["pairs"]], Measuring(**job["measuring"])
    result: dict[str, Any]
    try:
        metrics = find_metrics(job["names"])
        result = {"columns": score_rows(pairs, metrics, measuring, job["first"])}
    except MetricError as error:
        result = {"error": [error.message, error.hint]}
    answer.write(json.dumps(result))


if __name__ == "__main__":
    main()
