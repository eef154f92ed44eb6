"""How a stage stands, in words below its curves: alarms first, with what to do, then the newest numbers by topic.

Curves tell where it goes; these lines tell what belongs to a number: the spread of a reward, the target of a distance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from core.runs.history import History, alarm_kind
from core.runs.quantities import TrainingStage
from core.untrusted import inert_line
from tui.charts.axes import number_text
from tui.curve_plots import kept_word, target, word
from tui.widgets.facts_pane import tell_block
from tui.widgets.lines import break_offsets

_MOST_ALARMS = 2
_CELL, _WIDEST = 17, 24
"""Cells that a word with its number needs, and may have."""
_PAIRS = ("accuracy", "margin", "chosen_reward", "rejected_reward")
_NUMBERS: Mapping[TrainingStage, tuple[str, ...]] = {
    "sft": (),
    "rm": _PAIRS,
    "dpo": (*_PAIRS, "chosen_logp", "rejected_logp"),
    "ppo": (
        *("reward", "reward_spread", "reward_normalised"),
        *("kl", "kl_coef", "clip_fraction"),
        *("answer_tokens", "eos_rate", "repeated_rate"),
        *("entropy", "value_loss", "explained_variance"),
        *("rollout_seconds", "score_seconds", "update_seconds"),
    ),
}
"""By topic, three of each: where there is room for three in a row, a row is a topic. The rest are curves alone."""
_SHARES = frozenset(("accuracy", "explained_variance", "clip_fraction", "eos_rate", "repeated_rate"))
_SHORT = {
    "reward_spread": _("spread"),
    "reward_normalised": _("normalised"),
    "kl_coef": _("coefficient"),
}
"""Words that are enough beside their neighbours."""


class StageLines(Static):
    """Tells the newest numbers and the last alarms of a run; nothing for a supervised one without alarms."""

    DEFAULT_CSS = """
    StageLines { display: none; height: auto; padding: 0 1; }
    """

    def show(self, text: Content) -> None:
        """Show a text; none takes no room."""
        self.display = bool(text)
        tell_block(self, text)


def stage_content(history: History, stage: TrainingStage, options: Mapping[str, str], width: int, most: int) -> Content:
    """The lines of a run, each as wide as the pane at most, and no more of them than there is room for."""
    if stage == "sft" or most < 1:
        return Content("")
    lines = [*alarm_lines(history, width), *_number_lines(history, stage, options, width)]
    return Content("\n").join(lines[:most])


# --- alarms -----------------------------------------------------------------------------------------------------


def alarm_lines(history: History, width: int) -> Iterator[Content]:
    """The last things that went wrong while it trained, one of a kind, with what to do; the newest first."""
    last = {alarm_kind(warned.message): warned for _step, warned in history.alarms}
    for warned in sorted(last.values(), key=lambda told: -told.time)[:_MOST_ALARMS]:
        for row, piece in enumerate(_broken(inert_line(warned.message), width - 2)):
            yield Content.assemble(("  " if row else "! ", "bold $text-warning"), (piece, "$text-warning"))
        for piece in _broken(inert_line(warned.hint), width - 2):
            yield Content.assemble("  ", (piece, "$muted"))


def _broken(text: str, width: int) -> list[str]:
    return [text[start:end] for start, end in break_offsets(text, max(10, width))] if text else []


# --- numbers ----------------------------------------------------------------------------------------------------


def _number_lines(history: History, stage: TrainingStage, options: Mapping[str, str], width: int) -> Iterator[Content]:
    now = history.step.metrics if history.step is not None else {}
    told = [(_SHORT.get(name, word(stage, name)), name, now[name]) for name in _NUMBERS[stage] if name in now]
    kept = history.evaluations.get("")
    if kept is not None and stage in ("rm", "dpo"):
        names = [name for name in _PAIRS[:2] if name in kept.metrics]
        told += [(kept_word(stage, name), name, kept.metrics[name]) for name in names]
    numbers = [(label, _told(name, value, options)) for label, name, value in told]
    yield from _in_columns(numbers, width)


def _told(name: str, value: float, options: Mapping[str, str]) -> str:
    if name in _SHARES and math.isfinite(value):
        return f"{value:.0%}"
    short = number_text(float(f"{value:.3g}"))  # three digits: curves and facts have more
    if name == "kl" and (aim := target(options)):
        return _("{now}, aim {aim}").format(now=short, aim=number_text(aim))
    return _("{n} s").format(n=short) if name.endswith("_seconds") else short


def _in_columns(numbers: Sequence[tuple[str, str]], width: int) -> Iterator[Content]:
    """Three in a row, or as many as there is room for. How many rows there are never goes by the numbers, which change
    each second: charts that had to be drawn in another height would be sent whole."""
    across = max(1, min(3, width // _CELL))
    room = min(_WIDEST, width // across)
    for start in range(0, len(numbers), across):
        cells = [_cell(label, text, room) for label, text in numbers[start : start + across]]
        yield Content("").join(cells).truncate(max(1, width))


def _cell(label: str, text: str, room: int) -> Content:
    cell = Content.assemble((label + " ", "$muted"), text)
    return Content.assemble(cell, " " * max(1, room - cell.cell_length))
