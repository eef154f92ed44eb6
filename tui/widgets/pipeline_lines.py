"""A pipeline on the Train screen: its steps in their order, how far each is, and what it stands on.

Its curves are those of its steps' runs, which stand in the list themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from textual.content import Content

from core.i18n import _
from core.runs.launch_file import QueuedRun
from core.untrusted import inert_line
from tui.run_steps import step_runs
from tui.run_watcher import Watched
from tui.widgets.run_rows import MARKS, STATES, percent, running_text

_NOT_YET = ("·", "$muted")


def pipeline_content(pipeline: Watched, runs: Mapping[Path, Watched]) -> Content:
    """Two lines for each step: what it is and how far, and below it what it stands on.

    Args:
        runs: all runs, by folder.
    """
    shown = step_runs(pipeline, runs)
    widest = max(len(step.name) for step, _watched in shown)
    return Content("\n\n").join(Content("\n").join(_lines(step, watched, widest)) for step, watched in shown)


def _lines(step: QueuedRun, watched: Watched | None, widest: int) -> Iterator[Content]:
    mark, colour = MARKS[watched.state] if watched is not None else _NOT_YET
    state = STATES[watched.state] if watched is not None else _("waits")
    does = step.stage if step.kind == "train" else _("eval")
    told = [inert_line(does), state]
    if watched is not None:
        told += [percent(watched), running_text(watched) if watched.state == "running" else ""]
    name = Content.styled(inert_line(step.name).ljust(widest), "bold" if watched is not None and watched.active else "")
    yield Content.assemble((f"{mark} ", colour), name, "  ", " · ".join(filter(None, told)))
    if step.after:
        after = _("stands on {steps}").format(steps=", ".join(map(inert_line, step.after)))
        yield Content.assemble("  ", " " * widest, "  ", (after, "$muted"))
