"""Whether the evaluation that a report belongs to still goes on."""

from __future__ import annotations

from pathlib import Path

from core.report.store import PARTS
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, state_of


def run_state(folder: Path) -> RunState | None:
    """The state of the run that has its part in a folder; None where no evaluation of ours wrote there."""
    run = next((each for each in (folder, *folder.parents[:2]) if (each / PARTS).is_file()), None)
    return state_of(RunDirectory(run)) if run is not None else None
