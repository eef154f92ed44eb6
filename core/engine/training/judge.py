"""Which evaluation was the best, and whether it is time to give up: as transformers' early stopping counts.

An evaluation is the best when it is better at all; patience is used up by each one that is not better by more than the
threshold. Patience counts evaluations, not steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.output import OutputOptions
from core.config.stages import METRICS
from core.errors import UsageError, did_you_mean
from core.i18n import _

_GREATER = ("accuracy", "margin", "reward", "logp", "rate")
"""How the names of those end of which more is better."""


@dataclass(frozen=True)
class Standing:
    """The best evaluation so far, and how many have passed without a better one."""

    best_step: int | None = None
    best_value: float | None = None
    since: int = 0


@dataclass(frozen=True)
class Judge:
    """Compares evaluations by one metric."""

    metric: str
    """`loss`, or `NAME_loss` for one of several data sets."""
    greater_is_better: bool
    patience: int | None
    threshold: float

    def look(self, standing: Standing, step: int, metrics: Mapping[str, float]) -> Standing:
        """The standing after one more evaluation."""
        value, best = metrics[self.metric], standing.best_value
        if math.isnan(value):
            return Standing(standing.best_step, best, standing.since + 1)
        gain = math.inf if best is None else (value - best if self.greater_is_better else best - value)
        since = 0 if gain > self.threshold else standing.since + 1
        return Standing(step, value, since) if gain > 0 else Standing(standing.best_step, best, since)

    def is_patience_used_up(self, standing: Standing) -> bool:
        return self.patience is not None and standing.since >= self.patience


def make_judge(settings: Settings, datasets: Sequence[str]) -> Judge:
    """The judge that the options describe.

    Args:
        datasets: the names of the evaluation sets; one without a name where rows are kept out of the training set.

    Raises:
        UsageError: the metric does not exist, or there is nothing to judge by.
    """
    options, metrics = settings[OutputOptions], METRICS[settings[FinetuningOptions].stage]
    if not datasets:
        _refuse_without_rows(options)
    metric = options.metric_for_best_model.removeprefix("eval_")
    if metric == "loss":  # which is what nobody has to name; answers that are drawn have none
        metric = metrics[0]
    known = [*metrics, *(f"{name}_{metric}" for name in datasets if len(datasets) > 1 for metric in metrics)]
    if metric not in known:
        raise UsageError(
            _("metric_for_best_model: evaluations have no {name!r}").format(name=options.metric_for_best_model),
            f"{did_you_mean(metric, known)} {', '.join(known)}".strip(),
        )
    greater = options.greater_is_better
    return Judge(
        metric,
        metric.endswith(_GREATER) if greater is None else greater,
        options.early_stopping_steps,
        options.early_stopping_threshold,
    )


def _refuse_without_rows(options: OutputOptions) -> None:
    for name in ("early_stopping_steps", "load_best_model_at_end"):
        if getattr(options, name):
            raise UsageError(
                _("{name} compares evaluations, and there are no rows to evaluate").format(name=name),
                _("set val_size or eval_dataset, or leave it out"),
            )
