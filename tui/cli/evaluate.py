"""`finetui eval`, and `finetui train --do_predict`: test sets are answered and the answers measured, in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config.change import replaced
from core.config.evaluation import EVALUATION, PredictStageOptions
from core.config.fields import Section
from core.config.load import Settings
from core.config.sources import EvaluationSourceOptions
from core.errors import ConfigError, Problem
from core.i18n import _
from core.serve.remembered import remember_evaluated
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.console import print_json
from tui.cli.model_tables import lines
from tui.cli.options import OptionsVerb
from tui.cli.starting import StartOptions, config_is_all, follow_or_leave, warn

if TYPE_CHECKING:
    from core.launch.evaluation import PreparedEvaluation


def _evaluate(settings: Settings) -> int:
    command, settings = settings[StartOptions], _of_stage(settings)
    if config_is_all(settings, command, EVALUATION, "eval"):
        return 0
    from core.launch.evaluation import prepare_evaluation  # models, data, metrics: help does without
    from core.launch.start import start  # the same

    workspace = find_workspace()
    prepared = prepare_evaluation(settings, workspace)
    if command.plan:
        _show_plan(prepared, as_json=command.json_records)
        return 0
    remember_evaluated(workspace, prepared.values)
    return follow_or_leave(start(prepared), workspace, command, prepared.cautions)


def _of_stage(settings: Settings) -> Settings:
    """What a stage means for what is asked: predictions of a reward model are scores of pairs.

    Raises:
        ConfigError: something else is asked.
    """
    task = settings.values()["task"]
    if settings[PredictStageOptions].stage != "rm" or task == "comparisons":
        return settings
    if task != "auto":
        what = _("rm scores pairs, task {task} does not").format(task=task)
        raise ConfigError([Problem(settings.origins["stage"].where, what, _("leave one of the two out"))])
    return replaced(settings, {"task": ("comparisons", _("stage rm"))})


def _show_plan(prepared: PreparedEvaluation, *, as_json: bool) -> None:
    from core.launch.evaluation import plan_line  # see above

    if as_json:
        sets = [{"name": one.name, "rows": one.rows, "choices": one.choices} for one in prepared.sets]
        warnings = [{"message": caution.message, "hint": caution.hint} for caution in prepared.cautions]
        facts = {"run": prepared.run.name, "subjects": prepared.subjects, "sets": sets, "answers": prepared.answers}
        print_json({**facts, "device": prepared.device, "warnings": warnings, "config": prepared.values})
        return
    counts = [(one.name, "?" if one.rows is None else f"{one.rows:,}") for one in prepared.sets]
    pairs = [
        (_("run"), prepared.run.name),
        (_("answer"), ", ".join(prepared.subjects)),
        (_("test sets"), ", ".join(f"{name} ({rows})" for name, rows in counts)),
        (_("device"), prepared.device or _("the server's")),
        (_("in all"), plan_line(prepared)),
    ]
    for line in lines([(label, inert_line(value)) for label, value in pairs]):
        print(line)
    for caution in prepared.cautions:
        warn(caution)


_SECTIONS: tuple[type[Section], ...] = (*EVALUATION, PredictStageOptions, StartOptions, EvaluationSourceOptions)
_ABOUT = _("The run goes on when you leave. See it with finetui report, against others with finetui compare.")
evaluate = OptionsVerb(_evaluate, _SECTIONS, _ABOUT, words="[RUN…] [FILE.yaml]")
