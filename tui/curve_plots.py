"""Which curves of a run are charts, in what order, and what is drawn in one: the stages differ in this and in no more.

A run of stage sft shows its loss large and the rest below. The others have a few curves that have to be looked at
together, of one size: a reward that rises says nothing without the distance to the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.i18n import _
from core.runs.history import History
from core.runs.options import option_number
from core.runs.quantities import QUANTITIES, Quantity, TrainingStage
from tui.charts.axes import number_text
from tui.charts.plot import COLOURS, Trace
from tui.series import nearest

FIRST_METRICS = ("loss", "eval_loss", "grad_norm", "learning_rate", "tokens_per_second")
_LAST_METRICS = ("rows_per_second",)
_UNASKED = ("rows_per_second", "eval_perplexity")
"""They say what another curve says, so they are drawn when they are chosen."""
AT_ONCE = 4
"""Charts of one size."""
_PAIRS_FIRST = ("loss", "accuracy", "margin", "chosen_reward")
_FIRST: Mapping[TrainingStage, tuple[str, ...]] = {
    "rm": _PAIRS_FIRST,
    "dpo": _PAIRS_FIRST,
    "ppo": tuple(quantity.name for quantity in QUANTITIES["ppo"] if quantity.leads),
}
_BESIDE = {
    "loss": ("eval_loss", "", "e"),
    "accuracy": ("eval_accuracy", "", "e"),
    "margin": ("eval_margin", "", "e"),
    "chosen_reward": ("rejected_reward", "b", "w"),
    "chosen_logp": ("rejected_logp", "b", "w"),
}
"""What is drawn into the chart of a curve of pairs, and the letters at the ends of both: evaluation, better, worse."""
_TITLES = {"chosen_reward": _("rewards"), "chosen_logp": _("log p")}
_CHOOSING: Mapping[TrainingStage, tuple[str, ...]] = {
    "rm": ("accuracy",),
    "dpo": ("accuracy", "margin"),
    "ppo": ("reward", "kl"),
}
_TARGETS = {"kl": "ppo_target"}
"""The option that says where a curve should go."""


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run whose curves are drawn."""

    name: str
    letter: str
    history: History
    active: bool
    stage: TrainingStage = "sft"
    options: Mapping[str, str] = field(default_factory=dict)


def stage_of(runs: Iterable[ShownRun]) -> TrainingStage:
    """The stage whose charts are shown: the first that has some of its own."""
    return next((run.stage for run in runs if run.stage != "sft"), "sft")


def known(stage: TrainingStage, name: str) -> Quantity | None:
    """What a curve of a stage is; None for those that every training has."""
    return next((quantity for quantity in QUANTITIES[stage] if quantity.name == name), None)


def word(stage: TrainingStage, name: str) -> str:
    """What a curve of a stage is called: the quantity's word, for the rest the name that files use."""
    quantity = known(stage, name)
    return quantity.label if quantity is not None else name


def kept_word(stage: TrainingStage, name: str) -> str:
    """What it is called where it was measured on the rows that were kept out of the training."""
    return _("eval {name}").format(name=word(stage, name))


def metrics_of(runs: Sequence[ShownRun]) -> list[str]:
    """The curves that have a chart, as they are shown: first the stage's, then those of every training."""
    there = {name for run in runs for name, curve in run.history.curves.items() if len(curve)}
    there.difference_update(_drawn_beside(runs, there))
    stage = stage_of(runs)
    evaluations = sorted(name for name in there if name.startswith("eval_"))
    usual = [*FIRST_METRICS, *evaluations, *_LAST_METRICS]
    quantities = [quantity.name for quantity in QUANTITIES[stage]]
    others = sorted(there.difference(usual, quantities))
    order = [*_FIRST.get(stage, FIRST_METRICS[:2]), *others, *quantities, *usual]
    return [name for name in dict.fromkeys(order) if name in there]


def shown_first(runs: Sequence[ShownRun]) -> list[str]:
    """Those of them that are drawn where none was chosen."""
    return [name for name in metrics_of(runs) if name not in _UNASKED]


def _drawn_beside(runs: Sequence[ShownRun], there: Iterable[str]) -> set[str]:
    if len(runs) != 1 or stage_of(runs) not in ("rm", "dpo"):
        return set()
    present = set(there)
    return {_BESIDE[name][0] for name in present if name in _BESIDE}


def title_of(metric: str, runs: Sequence[ShownRun]) -> str:
    """What a chart is called."""
    return _TITLES[metric] if metric in _TITLES and _drawn_beside(runs, [metric]) else word(stage_of(runs), metric)


def about(metric: str, runs: Sequence[ShownRun]) -> str:
    """What a chart shows, in a sentence; empty for those that need none."""
    quantity = known(stage_of(runs), metric)
    return quantity.about if quantity is not None else ""


def target_of(metric: str, runs: Sequence[ShownRun]) -> float | None:
    """Where the curve is steered to; None where nothing steers it, or the runs differ in it."""
    option = _TARGETS.get(metric)
    if option is None:
        return None
    told = {target(run.options, option) for run in runs if run.stage == "ppo"}
    return told.pop() if len(told) == 1 else None


def target(options: Mapping[str, str], option: str = "ppo_target") -> float | None:
    """The distance to the reference that a run aims at; None where its coefficient does not adapt."""
    return option_number(options, option) if options.get("ppo_adaptive_kl", "true") == "true" else None


def traces(metric: str, runs: Sequence[ShownRun]) -> Iterable[Trace]:
    """The lines of a chart: one of each run, or of a single run the curve and what belongs beside it."""
    beside = _BESIDE[metric] if _drawn_beside(runs, [metric]) else ("", "", "")
    other = runs[0].history.curves.get(beside[0]) if runs else None
    there = other is not None and len(other) > 0
    for number, run in enumerate(runs):
        curve = run.history.curves.get(metric)
        if curve is not None:
            yield Trace(run.letter if len(runs) > 1 else beside[1] if there else "", number % COLOURS, curve.slices)
    if other is not None and there:
        yield Trace(beside[2], 1, other.slices)


def told_at(history: History, stage: TrainingStage, step: int) -> str:
    """What chooses a checkpoint, at its step: `reward 1.2, KL 3.4`; empty for a supervised training.

    Where rows were kept, they tell it: the batch of a step is a few rows, and those have been learnt from.
    """
    told = []
    for name in _CHOOSING.get(stage, ()):
        kept = history.curves.get(f"eval_{name}")
        curve = kept or history.curves.get(name)
        points = curve.slices if curve is not None else []
        index = nearest(points, step)
        if index is not None:
            called = kept_word(stage, name) if kept else word(stage, name)
            told.append(f"{called} {number_text(float(f'{points[index].mean:.3g}'))}")
    return ", ".join(told)
