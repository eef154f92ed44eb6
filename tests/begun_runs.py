"""Runs that tests begin: none outlives its test."""

from __future__ import annotations

from collections.abc import Iterable

from core.launch.stopping import kill, wait_ended
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, state_of


def end_runs(runs: Iterable[RunDirectory]) -> None:
    """Kill those that still run, and wait until they are gone."""
    for run in runs:
        if is_active(state_of(run)):
            kill(run)
            wait_ended(run, 5)
