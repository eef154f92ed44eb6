"""From any screen to the form of an evaluation, and from there to what was started in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App

from core.workspace import Workspace


def open_evaluation_form(app: App[Any], workspace: Workspace, given: Mapping[str, str]) -> None:
    """Open the form with some options filled in; an evaluation that is started there is gone to."""
    from tui.screens.evaluate_form import EvaluationForm  # pydantic, 80 ms: not before it is wanted

    async def started(run: Path | None) -> None:
        if run is not None:
            await go_to_evaluation(app, run)

    app.push_screen(EvaluationForm(workspace, given=given), started)


async def go_to_evaluation(app: App[Any], run: Path) -> None:
    """Show the evaluations, with a run's highlighted."""
    from tui.screens.evaluate import EvaluateScreen  # 60 ms: not before it is wanted

    await app.run_action("mode('evaluate')", app)
    if isinstance(app.screen, EvaluateScreen):
        app.screen.go_to_run(run)
