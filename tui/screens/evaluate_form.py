"""The form of an evaluation: who answers, which test sets, what is measured; beside it, what that comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.config.load import Settings
from core.errors import Problem
from core.i18n import _, plural
from core.launch.evaluation import PreparedEvaluation, prepare_evaluation
from core.launch.start import start
from core.runs.rundir import RunDirectory
from core.serve.remembered import remember_evaluated
from tui.evaluation_options import TEXTS, suggested
from tui.screens.run_form import RunForm
from tui.widgets.plan_pane import PlanPane


class EvaluationForm(RunForm[PreparedEvaluation]):
    """Fills in the options of an evaluation and starts it."""

    TEXTS = TEXTS
    NAME = _("New evaluation")

    def suggested(self) -> Mapping[str, Sequence[str]]:
        return suggested(self.workspace)

    def prepared(self, settings: Settings) -> PreparedEvaluation:
        return prepare_evaluation(settings, self.workspace)

    def started(self, prepared: PreparedEvaluation) -> RunDirectory:
        remember_evaluated(self.workspace, prepared.values)
        return start(prepared)

    async def look(self, prepared: PreparedEvaluation) -> None:
        cautions = [Problem("", caution.message, caution.hint) for caution in prepared.cautions]
        if self.display:  # else the form is being left
            self.query_one(PlanPane).show_pairs(list(plan_pairs(prepared)), cautions)


def plan_pairs(prepared: PreparedEvaluation) -> Iterator[tuple[str, str]]:
    """What an evaluation will be, in the order of interest."""
    values = prepared.values
    yield _("who answers"), "\n".join(prepared.subjects)
    counted = [_set_told(one.name, one.rows) for one in prepared.sets]
    yield _("what is asked"), "\n".join(counted)
    yield _("answers"), _answers_told(prepared)
    letters, scores = _("by the probabilities of the letters"), _("a score for both answers of each question")
    compared = any(one.compared for one in prepared.sets)
    yield _("how"), letters if _only_choices(prepared) else scores if compared else _way_told(values)
    yield _("measured"), ", ".join(values["metrics"]) or _("what fits the answers")
    if values["reference_loss"]:
        yield _("also"), _("loss and perplexity of the references, in a second pass")
    yield _("computed on"), f"{prepared.device}, {values['dtype']}" if prepared.device else values["api_base"]
    yield _("folder"), str(prepared.run.path)


def _only_choices(prepared: PreparedEvaluation) -> bool:
    return bool(prepared.sets) and all(one.choices for one in prepared.sets)


def _is_drawn(prepared: PreparedEvaluation) -> bool:
    return not all(one.choices or one.compared for one in prepared.sets)


def _set_told(name: str, rows: int | None) -> str:
    if rows is None:
        return _("{name}, too long to be counted now").format(name=name)
    return f"{name}, " + plural("{count} row", "{count} rows", rows)


def _answers_told(prepared: PreparedEvaluation) -> str:
    models, sets = len(prepared.subjects), len(prepared.sets)
    repeats = prepared.values["repeats"] if _is_drawn(prepared) else 1
    factors = [
        plural("{count} model", "{count} models", models),
        plural("{count} set", "{count} sets", sets),
        *([_("{n} repeats").format(n=repeats)] if repeats > 1 else []),
    ]
    total = _("not counted") if prepared.answers is None else f"{prepared.answers:,}"
    return f"{total} = " + " × ".join(factors) if models * sets > 1 or len(factors) > 2 else total


def _way_told(values: Mapping[str, Any]) -> str:
    most = plural("up to {count} token", "up to {count} tokens", values["max_new_tokens"])
    if not values["temperature"]:
        return _("greedy, {most}").format(most=most)
    return _("temperature {value:g}, {most}").format(value=values["temperature"], most=most)
