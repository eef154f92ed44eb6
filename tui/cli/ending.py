"""Waiting for a run that was asked to end. Where that takes more than a few seconds it is said what it waits for, and
how it ends sooner: a reward function of the user's own, say, may never come back."""

from __future__ import annotations

from core.i18n import _
from core.launch.stopping import wait_ended
from core.runs.events import StageChanged
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import RunState, is_active, tail
from core.untrusted import inert_line
from tui.cli.console import note

_SOON_SECONDS = 5.0
_LATE_SECONDS = 70.0
"""After a minute a run that was told to end now is killed."""


def await_end(run: RunDirectory, name: str, *, told: bool = False) -> RunState:
    """Wait for a run's end, for a little more than a minute; its state then.

    Args:
        name: as it is typed.
        told: whether it has been told to end now already.
    """
    state = wait_ended(run, _SOON_SECONDS)
    if is_active(state):
        shown = inert_line(name)
        note(_("{name} ends after {what}; waiting for that").format(name=shown, what=_waits_for(run)))
        way = _("at once: finetui runs stop {name} --kill, which saves nothing")
        if not told:
            way = _("sooner: finetui runs stop {name} --now, or --kill, which saves nothing")
        note(way.format(name=shown))
        state = wait_ended(run, _LATE_SECONDS)
        if is_active(state):
            note(_("{name} has not ended yet").format(name=shown))
    return state


def _waits_for(run: RunDirectory) -> str:
    """What a run finishes before it ends."""
    launch = read_launch(run)
    stage = next((event.stage for event in reversed(tail(run)) if isinstance(event, StageChanged)), None)
    if launch.kind == "evaluation":
        return _("the rows at hand")
    if launch.stage == "ppo" and stage == "scoring":
        return _("the scoring of its answers")
    return _("learning from the answers of its step") if launch.stage == "ppo" else _("its current step")
