"""From options to an evaluation that can be started: a sibling of `core.launch.prepare`.

Models, adapters, runs and checkpoints become candidates, test sets are read, metrics are looked up, and all that stands
against the start is told at once. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config.change import replaced
from core.config.evaluation import EVALUATION, EvaluatedDataOptions, contradictions
from core.config.idle_evaluation import idle_options
from core.config.load import Settings
from core.data.examples import data_folder
from core.errors import ConfigError, Problem
from core.i18n import _, plural
from core.launch.answering import Answering, find_answering
from core.launch.comparing import compares, misplaced
from core.launch.findings import Findings, idle_cautions
from core.launch.folder import refuse_active, refuse_used
from core.launch.going_on import overlaid, refuse_changes
from core.launch.local import evaluate_command, refuse_answered
from core.launch.machine import Machine, device_of, locks_of, refusals, this_machine
from core.launch.naming import joined_name, lasting_places, plain_name, run_folder, unused
from core.launch.record import data_files
from core.launch.start import PreparedRun
from core.launch.test_sets import TestSet, find_test_sets, lasting_shots
from core.metrics.catalog import find_metrics
from core.models.candidates import Candidate
from core.models.packaged import DEFAULT
from core.models.reward_source import find_reward_source
from core.runs.launch_file import Caution, Launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedEvaluation(PreparedRun):
    """An evaluation that can be started."""

    sections = EVALUATION
    candidates: tuple[Candidate, ...]
    """Who answers; nobody here where a server does."""
    sets: tuple[TestSet, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who answers, by name."""
        served = str(self.values["api_model"] or self.values["api_base"] or "")
        return (served,) if self.values["api_base"] else tuple(one.name for one in self.candidates)

    @property
    def answers(self) -> int | None:
        """How many there will be, repeats counted; None where a set is too large to be counted beforehand."""
        total = 0
        for one in self.sets:
            if one.rows is None:
                return None
            drawn = not one.choices and not one.compared
            total += one.rows * (int(self.values["repeats"]) if drawn else 1)
        return total * len(self.subjects)

    def described(self) -> Launch:
        first = next(iter(self.candidates), None)
        methods = dict.fromkeys(one.adapter.method for one in self.candidates if one.adapter is not None)
        return Launch(
            command=evaluate_command(self.run, go_on=self.goes_on),
            kind="evaluation",
            model=first.model.name if first else self.subjects[0],
            method=",".join(methods),
            subjects=self.subjects,
            datasets=tuple(one.name for one in self.sets),
            data=data_files([(one.name, path) for one in self.sets for path in one.files]),
        )


def prepare_evaluation(
    settings: Settings, workspace: Workspace, *, machine: Machine | None = None
) -> PreparedEvaluation:
    """Look at everything that an evaluation stands on.

    Args:
        settings: of the sections in `core.config.evaluation.EVALUATION`, others beside them.
        machine: what this machine has, for tests.

    Raises:
        ConfigError: all that stands against it.
    """
    return _Preparation(settings, workspace, machine or this_machine()).prepared()


class _Preparation:
    def __init__(self, settings: Settings, workspace: Workspace, machine: Machine) -> None:
        self._typed, self._workspace, self._machine = settings, workspace, machine
        self._settings = overlaid(settings, workspace) if settings.values()["resume"] else settings
        self._findings = Findings(self._settings)
        self._options = self._settings[EvaluatedDataOptions]

    def prepared(self) -> PreparedEvaluation:
        values, findings = self._settings.values(), self._findings
        served = bool(values["api_base"])
        answering = find_answering(findings, self._settings, self._workspace)
        sets = self._sets(values)
        judge = self._judge(values)
        findings.refuse(contradictions(values))
        findings.refuse(misplaced(values, answering.candidates, sets))
        for name in values["metrics"]:
            findings.tried("metrics", partial(find_metrics, (name,)))
        findings.refuse(() if served else refusals(self._settings, self._machine))
        settings, cautions = (self._settings, []) if served else findings.honest(self._machine)
        candidates = answering.candidates
        run = findings.tried("output_dir", partial(self._folder, values, candidates, sets))
        if findings.problems or run is None:
            raise ConfigError(findings.problems)
        settings = replaced(settings, dict(self._names(run, answering, sets, judge)))
        if values["resume"]:
            refuse_changes(self._typed, settings, run)
        device = "" if served else device_of(settings, self._machine)
        return PreparedEvaluation(
            run=run,
            workspace=self._workspace,
            settings=settings,
            candidates=candidates,
            sets=tuple(sets),
            device=device,
            devices=locks_of(device, 1) if device else (),
            cautions=(*cautions, *_idle(settings.values(), sets), *_about_rows(sets), *answering.cautions),
            goes_on=values["resume"],
        )

    # --- what is asked ------------------------------------------------------------------------------------------

    def _sets(self, values: dict[str, Any]) -> list[TestSet]:
        if not values["dataset"]:
            hint = _("name one or more as dataset; finetui data list and F5 show them")
            self._findings.refuse([Problem("dataset", _("there is nothing to ask"), hint)])
        return list(find_test_sets(self._findings, values["dataset"], self._options, self._workspace))

    def _judge(self, values: dict[str, Any]) -> str | None:
        """What scores answers, where something does, by a name that lasts."""
        if values["reward_model"] is None:
            return None
        find = partial(find_reward_source, values["reward_model"], "auto", self._workspace)
        found = self._findings.tried("reward_model", find)
        return found.name if found is not None else None

    # --- where it is written ------------------------------------------------------------------------------------

    def _folder(self, values: dict[str, Any], candidates: Sequence[Candidate], sets: Sequence[TestSet]) -> RunDirectory:
        given = values["output_dir"]
        if given is None:
            adapted = [one.name for one in candidates if one.adapter is not None]  # the base is everybody's
            subjects = adapted or [one.name for one in candidates] or [str(values["api_model"] or "served")]
            first = f"eval-{plain_name(subjects[0])}" + ("+" if len(subjects) > 1 else "")
            name = joined_name(first, values["dataset"])
            return RunDirectory(unused(self._workspace.runs / name))
        run = RunDirectory(run_folder(given, self._workspace))
        if values["resume"]:
            refuse_active(run)
            refuse_answered(run)
        else:
            needed = [*(path for one in candidates for path in (one.path, one.model.path))]
            needed += [path for one in sets for path in one.files]
            refuse_used(run, overwrite=values["overwrite_output_dir"], needed=needed)
        return run

    def _names(
        self,
        run: RunDirectory,
        answering: Answering,
        sets: Sequence[TestSet],
        judge: str | None,
    ) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Names that would mean something else, or nothing, when the file is used from another folder."""
        values, data = self._settings.values(), data_folder(self._options, self._workspace)
        model, named = answering.model, answering.named
        yield from lasting_places(run, data, self._workspace, "" if values["output_dir"] else _("model and data"))
        yield "resume", (False, "")  # of this segment: launch.json has it
        if model is not None:
            guessed = values["model_name_or_path"] == DEFAULT and bool(named)
            path = str(model.path.absolute()) if model.source == "folder" else model.name
            yield "model_name_or_path", (path, _("the adapter's base") if guessed else "")
        if named:
            yield "adapter_name_or_path", (tuple(str(one.path.absolute()) for one in named), "")
        yield "reward_model", (judge, "")
        yield "shot_dataset", (lasting_shots(self._options, self._workspace), "")
        yield "dataset", (tuple(one.lasting_name for one in sets), "")
        own = [str(Path(name).expanduser().absolute()) if name.endswith(".py") else name for name in values["metrics"]]
        yield "metrics", (tuple(own), "")


def _idle(values: dict[str, Any], sets: Sequence[TestSet]) -> Iterator[Caution]:
    return idle_cautions(idle_options({**values, "task": "comparisons"} if compares(sets) else values))


def _about_rows(sets: Sequence[TestSet]) -> Iterator[Caution]:
    yield from (caution for one in sets for caution in one.cautions)


def plan_line(prepared: PreparedEvaluation) -> str:
    """What an evaluation will do, in one line."""
    models = plural("{count} model", "{count} models", len(prepared.subjects))
    sets = plural("{count} test set", "{count} test sets", len(prepared.sets))
    if prepared.answers is None:
        return _("{models}, {sets}").format(models=models, sets=sets)
    answers = plural("{count} answer", "{count} answers", prepared.answers)
    return _("{models}, {sets}, {answers}").format(models=models, sets=sets, answers=answers)
