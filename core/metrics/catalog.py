"""Every metric by its name, and which of them fit some answers. A further metric is a line in this table."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import MetricError, Problem, UsageError, did_you_mean
from core.i18n import _
from core.metrics.classes import classified
from core.metrics.compared import NAMES as COMPARED
from core.metrics.exact import is_letter, is_number
from core.metrics.metric import Measuring, Metric, Pair
from core.metrics.own import metric_of_file

METRICS = {
    "exact_match": "core.metrics.exact:EXACT_MATCH",
    "long_exact_match": "core.metrics.exact:LONG_EXACT_MATCH",
    "normalised_match": "core.metrics.exact:NORMALISED_MATCH",
    "number_match": "core.metrics.exact:NUMBER_MATCH",
    "choice_accuracy": "core.metrics.exact:CHOICE_ACCURACY",
    "label_accuracy": "core.metrics.classes:LABEL_ACCURACY",
    "macro_f1": "core.metrics.classes:MACRO_F1",
    "list_f1": "core.metrics.lists:LIST_F1",
    "list_precision": "core.metrics.lists:LIST_PRECISION",
    "list_recall": "core.metrics.lists:LIST_RECALL",
    "bleu-4": "core.metrics.bleu:BLEU_4",
    "rouge-1": "core.metrics.rouge:ROUGE_1",
    "rouge-2": "core.metrics.rouge:ROUGE_2",
    "rouge-l": "core.metrics.rouge:ROUGE_L",
    "token_f1": "core.metrics.overlap:TOKEN_F1",
    "edit_similarity": "core.metrics.overlap:EDIT_SIMILARITY",
    "sacrebleu": "core.metrics.corpus:SACREBLEU",
    "chrf": "core.metrics.corpus:CHRF",
    "length_ratio": "core.metrics.lengths:LENGTH_RATIO",
    "empty": "core.metrics.lengths:EMPTY",
    "truncated": "core.metrics.lengths:TRUNCATED",
    "distinct-1": "core.metrics.lengths:DISTINCT_1",
    "distinct-2": "core.metrics.lengths:DISTINCT_2",
    "loss": "core.metrics.judged:LOSS",
    "perplexity": "core.metrics.judged:PERPLEXITY",
    "reward": "core.metrics.judged:REWARD",
    "accuracy": "core.metrics.compared:ACCURACY",
    "margin": "core.metrics.compared:MARGIN",
    "pair_loss": "core.metrics.compared:PAIR_LOSS",
    "chosen_reward": "core.metrics.compared:CHOSEN_REWARD",
    "rejected_reward": "core.metrics.compared:REJECTED_REWARD",
}
"""In the order of showing."""

EVERY = "all"
"""In place of names: whatever there is."""


@functools.cache
def metric(name: str) -> Metric:
    """A metric of the table."""
    module, _colon, attribute = METRICS[name].partition(":")
    found: Metric = getattr(importlib.import_module(module), attribute)
    return found


def all_metrics() -> list[Metric]:
    """Every metric of the table, in the order of showing."""
    return [metric(name) for name in METRICS]


def find_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of some names, and of Python files among them; each once.

    Raises:
        UsageError: there is no metric of such a name.
        MetricError: a file is no metric.
    """
    problems = [problem for name in names if (problem := unknown(name))]
    if problems:
        raise UsageError("\n".join(problem.what for problem in problems), problems[0].hint)
    found: dict[str, Metric] = {}
    for chosen in (chosen for name in names for chosen in _chosen(name)):
        if found.setdefault(chosen.name, chosen).source != chosen.source:
            what = _("two metrics are named {name!r}").format(name=chosen.name)
            raise MetricError(what, _("say another one in the file: name = …"))
    return list(found.values())


def unknown(name: str) -> Problem | None:
    """What is wrong with a metric's name, if anything; files are not looked into."""
    if name in METRICS or name == EVERY or _is_file(name):
        return None
    hint = did_you_mean(name, METRICS) or _("there are: {names}").format(names=", ".join(METRICS))
    return Problem("metrics", _("there is no metric {name!r}").format(name=name), hint)


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _chosen(name: str) -> list[Metric]:
    if name == EVERY:
        return all_metrics()
    return [metric_of_file(Path(name).expanduser())] if _is_file(name) else [metric(name)]


def fitting(pairs: Sequence[Pair], measuring: Measuring | None = None) -> list[Metric]:
    """The metrics that tell something about these answers and cost little; exact match first."""
    return [metric(name) for name in _fitting_names(pairs, measuring or Measuring())]


def _fitting_names(pairs: Sequence[Pair], measuring: Measuring) -> Iterator[str]:
    if any(pair.chosen is not None for pair in pairs):
        yield from COMPARED
        return
    labels = {pair.label for pair in pairs}
    yield "exact_match"
    if any(len(label) > measuring.long_label for label in labels):
        yield "long_exact_match"
    yield "normalised_match"
    if _most(is_number(label) for label in labels):
        yield "number_match"
    if labels and all(is_letter(label.strip()) for label in labels):
        yield "choice_accuracy"
    if classified(pairs):
        yield from ("label_accuracy", "macro_f1")
    if 20 * sum(measuring.list_separator in pair.label for pair in pairs) > len(pairs):
        yield from ("list_f1", "list_precision", "list_recall")
    yield from ("bleu-4", "rouge-1", "rouge-2", "rouge-l", "token_f1", "edit_similarity", "length_ratio", "empty")
    if any(pair.finish_reason for pair in pairs):
        yield "truncated"
    if any(pair.loss is not None for pair in pairs):
        yield from ("loss", "perplexity")
    if any(pair.reward is not None for pair in pairs):
        yield "reward"


def _most(answers: Iterable[bool]) -> bool:
    told = list(answers)
    return bool(told) and 2 * sum(told) > len(told)
