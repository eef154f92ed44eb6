"""The runs that go on, in the line at the bottom of every screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from core.i18n import _
from core.runs.quantities import headline
from core.untrusted import inert_line
from tui.run_watcher import Watched
from tui.series import sparkline

_SHORT, _STRIP, _ALARM = 20, 8, 32
_ALARM_STEPS = 20
"""For so many steps an alarm stands in the line at the bottom, or longer: until a twentieth of the run has passed."""


def runs_text(active: Sequence[Watched]) -> str:
    """What the line at the bottom says of the runs that go on; empty when there are none.

    `▸ zh-lora 45% ▆▄▃▂` is a training, `▸ eval zh-lora 45%` an evaluation, `▸ zh-ppo 45% ▂▄▆ ! KL is …` one that
    has just raised an alarm.
    """
    if not active:
        return ""
    first = next((watched for watched in active if watched.state == "running"), active[0])
    others = f" +{len(active) - 1}" if len(active) > 1 else ""
    name = _short(first.name)
    if first.evaluates and not name.startswith("eval"):
        name = _("eval {name}").format(name=name)
    if first.state == "queued":
        return "⋯ " + _("{name} waits").format(name=name) + others
    progress = first.progress
    share = f" {progress:.0%}" if progress is not None else ""
    curve = first.history.curves.get(headline(first.stage)) if first.history is not None else None
    bars = " " + sparkline(curve.slices, _STRIP) if curve is not None else ""
    return f"▸ {name}{share}{bars}{others}{_alarm_text(first)}"


def _alarm_text(watched: Watched) -> str:
    """` ! step 40: answers lie …` where an alarm is new."""
    history = watched.history
    if watched.stage == "sft" or history is None or history.step is None or not history.alarms:
        return ""
    at, warned = history.alarms[-1]
    new = history.step.step - at <= max(_ALARM_STEPS, history.total_steps // 20)
    return " ! " + _short(warned.message, _ALARM) if new else ""


def _short(text: str, cells: int = _SHORT) -> str:
    line = inert_line(text)
    return line if cell_len(line) <= cells else set_cell_size(line, cells - 1).rstrip() + "…"
