"""What a run learns from and is judged by: rows of tokens for both, and the questions it is probed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.chat.message import Message
from core.config.data import DataOptions
from core.config.load import Settings
from core.config.output import OutputOptions
from core.engine.batches.cache import token_set
from core.engine.batches.order import data_seed, split_rows
from core.engine.batches.recipe import Recipe, recipe_for
from core.engine.batches.rows import StageRows, rows_of
from core.engine.batches.verdict import nothing, refuse_mistakes
from core.engine.template import Template, prepared
from core.engine.training.evaluate import EvaluationSet
from core.engine.training.probes import PROBES_FROM_DATA, Probe
from core.errors import DataError
from core.i18n import _
from core.runs.plan import TokenReport
from core.workspace import Workspace

_LONGEST_PROBE = 512
_LOOKED_AT_FOR_PROBES = 50


@dataclass(frozen=True)
class Data:
    """The data of a run."""

    rows: StageRows
    """Answers, pairs or prompts, as the stage needs them."""
    report: TokenReport
    evaluation_sets: tuple[EvaluationSet, ...]
    template: Template
    probes: tuple[Probe, ...]
    evaluation_reports: tuple[tuple[str, TokenReport], ...] = ()
    """What became of the rows of each evaluation set that is a data set of its own, by its name."""

    @property
    def evaluation_rows(self) -> int:
        return sum(len(one.rows) for one in self.evaluation_sets)


def open_data(
    settings: Settings, model: Path, workspace: Workspace, on_progress: Callable[[float], None] = lambda fraction: None
) -> Data:
    """Read, check and tokenise everything that a run needs; no weights are thought of.

    Args:
        model: the model's folder, for its tokenizer.

    Raises:
        DataError: there is nothing to train on, or rows have mistakes and none may be left out.
    """
    options, output = settings[DataOptions], settings[OutputOptions]
    recipe = recipe_for(settings, options.dataset, model, workspace)
    whole = token_set(recipe, on_progress)
    refuse_mistakes(whole.report, options)
    rows, sets = rows_of(recipe, whole), tuple[EvaluationSet, ...]()
    reports: list[tuple[str, TokenReport]] = []
    if options.val_size:
        kept, out = split_rows(len(rows), options.val_size, data_seed(settings))
        rows, sets = rows_of(recipe, whole, kept), (EvaluationSet("", rows_of(recipe, whole, out)),)
    elif options.eval_dataset:
        made = [_evaluation_set(recipe_for(settings, (name,), model, workspace)) for name in options.eval_dataset]
        sets = tuple(one for one, _report in made)
        reports = [(one.name, report) for one, report in made]
    if len(rows) == 0:
        raise DataError(nothing(recipe.kind), _("lower val_size, or look at: finetui data check"))
    probes = probes_of(recipe, rows.examples, options, output) if output.probe_max_new_tokens else ()
    return Data(rows, whole.report, sets, recipe.chosen_template, probes, tuple(reports))


def _evaluation_set(recipe: Recipe) -> tuple[EvaluationSet, TokenReport]:
    whole = token_set(recipe)
    refuse_mistakes(whole.report, recipe.data)
    if len(whole) == 0:
        raise DataError(_("{name} has no row to evaluate").format(name=recipe.names[0]))
    return EvaluationSet(Path(recipe.names[0]).stem, rows_of(recipe, whole)), whole.report


# --- probes -----------------------------------------------------------------------------------------------------


def probes_of(
    recipe: Recipe, examples: NDArray[np.int32], options: DataOptions, output: OutputOptions
) -> tuple[Probe, ...]:
    """The questions that options name, or the first ones of some examples that are trained on."""
    ask = partial(_probe, recipe.chosen_template, options)
    if output.probe_prompt:
        return tuple(ask([Message("user", text)]) for text in output.probe_prompt)
    found: dict[str, Probe] = {}
    for number in examples[:_LOOKED_AT_FOR_PROBES].tolist():
        messages = recipe.question(number)
        if messages and messages[-1].content not in found:
            probe = ask(messages)
            if len(probe.ids) <= _LONGEST_PROBE:
                found[probe.prompt] = probe
        if len(found) == PROBES_FROM_DATA:
            break
    return tuple(found.values())


def _probe(template: Template, options: DataOptions, messages: Sequence[Message]) -> Probe:
    asked = prepared(messages, options.default_system, options.source_prefix)
    rendering = template.rendering(asked, enable_thinking=options.enable_thinking)
    return Probe(messages[-1].content, rendering.ids, tuple(messages))
