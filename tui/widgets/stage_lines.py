"""How a stage stands, in words below its curves: alarms first, with what to do, then the newest numbers by topic.

Curves tell where it goes; these lines tell what belongs to a number: the spread of a reward, the target of a distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from core.i18n import _
from core.runs.history import History, alarm_kind
from core.runs.quantities import QUANTITIES, TrainingStage
from core.untrusted import inert_line
from tui.charts.axes import number_text
from tui.curve_plots import target
from tui.widgets.facts_pane import tell_block
from tui.widgets.lines import break_offsets

_MOST_ALARMS = 2
_GAP = " · "
_TOPICS: Mapping[TrainingStage, tuple[tuple[str, ...], ...]] = {
    "sft": (),
    "rm": (("accuracy", "margin", "chosen_reward", "rejected_reward"),),
    "dpo": (("accuracy", "margin", "chosen_reward", "rejected_reward"), ("chosen_logp", "rejected_logp")),
    "ppo": (
        ("reward", "reward_normalised", "explained_variance"),
        ("kl", "kl_coef", "clip_fraction"),
        ("answer_tokens", "eos_rate", "repeated_rate", "entropy"),
        ("policy_loss", "value_loss", "approx_kl"),
        ("rollout_seconds", "score_seconds", "update_seconds"),
    ),
}
_SHARES = frozenset(("accuracy", "explained_variance", "clip_fraction", "eos_rate", "repeated_rate"))
_SHORT = {
    "reward_normalised": _("normalised"),
    "kl_coef": _("coefficient"),
    "value_loss": _("value"),
}
"""Words that are enough beside the others of their line."""

Numbers = Mapping[str, float]


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
    for topic in _TOPICS[stage]:
        yield from _flowing(list(_pieces(topic, stage, now, options)), width)
    kept = history.evaluations.get("")
    if kept is not None and stage in ("rm", "dpo"):
        pieces = list(_pieces(_TOPICS[stage][0][:2], stage, kept.metrics, options))
        head = Content.styled(_("on rows kept out"), "$muted")
        yield from _flowing([head, *pieces] if pieces else [], width)


def _pieces(topic: Sequence[str], stage: TrainingStage, now: Numbers, options: Mapping[str, str]) -> Iterator[Content]:
    labels = {quantity.name: quantity.label for quantity in QUANTITIES[stage]}
    for name in topic:
        if name in now:
            label = _SHORT.get(name, labels[name])
            yield Content.assemble((label + " ", "$muted"), _WORDS.get(name, _plain)(name, now, options))


def _plain(name: str, now: Numbers, _options: Mapping[str, str]) -> str:
    value = now[name]
    if name in _SHARES and math.isfinite(value):
        return f"{value:.0%}"
    return _("{n} s").format(n=_short(value)) if name.endswith("_seconds") else _short(value)


def _short(value: float) -> str:
    """Three digits: curves and facts have more."""
    return number_text(float(f"{value:.3g}"))


def _reward(name: str, now: Numbers, _options: Mapping[str, str]) -> str:
    spread = now.get("reward_spread")
    return _short(now[name]) + (f" ± {_short(spread)}" if spread is not None else "")


def _distance(name: str, now: Numbers, options: Mapping[str, str]) -> str:
    aim = target(options)
    told = _short(now[name])
    return _("{now} of {aim} nats").format(now=told, aim=number_text(aim)) if aim else _("{n} nats").format(n=told)


_WORDS: Mapping[str, Callable[[str, Numbers, Mapping[str, str]], str]] = {
    "reward": _reward,
    "kl": _distance,
}


def _flowing(pieces: Sequence[Content], width: int) -> Iterator[Content]:
    """Pieces on one line, or on as many as they need."""
    line: list[Content] = []
    for piece in pieces:
        if line and sum(each.cell_length for each in line) + len(line) * cell_len(_GAP) + piece.cell_length > width:
            yield Content(_GAP).join(line)
            line = []
        line.append(piece)
    if line:
        yield Content(_GAP).join(line).truncate(max(1, width), ellipsis=True)
