"""From options to a run that can be started: everything that can be found out without a model is found out here.

Names become folders, what this machine cannot do is replaced or refused, the run gets its folder's name; and all that
stands against the start is told at once, each problem beside its option. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config.change import replaced
from core.config.data import DataOptions
from core.config.idle import idle_options
from core.config.load import Settings
from core.config.stages import METRICS, ROW_KINDS, RowKind, longest_drawn
from core.config.training import TRAINING, contradictions
from core.data.entry import DatasetEntry
from core.data.examples import check_kind, data_folder
from core.errors import ConfigError, Problem
from core.i18n import _
from core.launch.beside import Beside, find_beside, manner_cautions
from core.launch.findings import Findings, idle_cautions
from core.launch.folder import refuse_active, refuse_used
from core.launch.local import find_checkpoint, train_command
from core.launch.machine import Machine, device_of, locks_of, refusals, this_machine
from core.launch.named import checked_rows, find_sets, lasting_name, mismatches, usable_model
from core.launch.naming import joined_name, lasting_places, run_folder, unused
from core.launch.record import data_files
from core.launch.start import PreparedRun
from core.models.adapters import check_adapter, resolve_adapter
from core.models.info import AdapterInfo, ModelInfo, typed_path
from core.runs.launch_file import Caution, Launch
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace

_CATASTROPHIC_RATE = 1e-2
_LARGE_RATES = {"ppo": 5e-4, "dpo": 5e-4}
"""Above which policies that learn from rewards are known to run away: the default model by LoRA at 1e-3 was 14 nats an
answer from its reference after 12 updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTraining(PreparedRun):
    """A training that can be started."""

    sections = TRAINING
    model: ModelInfo
    adapters: tuple[AdapterInfo, ...]
    sets: tuple[DatasetEntry, ...]
    """The data sets to train on, and after them those to evaluate on."""
    checkpoint: str = ""
    """The folder name of the checkpoint that an earlier run in this folder goes on from."""

    def described(self) -> Launch:
        values = self.values
        return Launch(
            command=train_command(self.run, values["nproc_per_node"], self.checkpoint),
            resumed_from=self.checkpoint,
            processes=values["nproc_per_node"],
            model=self.model.name,
            method=values["finetuning_type"],
            stage=values["stage"],
            datasets=values["dataset"],
            data=data_files([(entry.name, entry.path) for entry in self.sets if not entry.hub_name]),
        )


def prepare(settings: Settings, workspace: Workspace, *, machine: Machine | None = None) -> PreparedTraining:
    """Look at everything that a training stands on.

    Args:
        settings: of the sections in `core.config.training.TRAINING`, others beside them.
        machine: what this machine has, for tests.

    Raises:
        ConfigError: all that stands against it.
    """
    return _Preparation(settings, workspace, machine or this_machine()).prepared()


class _Preparation:
    def __init__(self, settings: Settings, workspace: Workspace, machine: Machine) -> None:
        self._settings, self._workspace, self._machine = settings, workspace, machine
        self._findings = Findings(settings)

    def prepared(self) -> PreparedTraining:
        values, findings = self._settings.values(), self._findings
        model = findings.tried(
            "model_name_or_path", partial(usable_model, values["model_name_or_path"], self._workspace)
        )
        adapters = [
            adapter
            for name in values["adapter_name_or_path"]
            if (adapter := findings.tried("adapter_name_or_path", partial(self._adapter, name, model)))
        ]
        sets = [*self._sets("dataset", values), *self._sets("eval_dataset", values)]
        beside = find_beside(findings, self._settings, model, self._workspace)
        rows = [] if findings.problems else self._checked(sets, values)
        findings.refuse(contradictions(values))
        findings.refuse(_of_context(values, model))
        findings.refuse(refusals(self._settings, self._machine))
        settings, cautions = findings.honest(self._machine)
        needed = [*(one.path for one in adapters), *([model.path] if model is not None else []), *beside.paths]
        run = findings.tried("output_dir", partial(self._folder, values, needed))
        checkpoint = self._checkpoint(run, values["resume_from_checkpoint"]) if run is not None else ""
        if findings.problems or model is None or run is None:
            raise ConfigError(findings.problems)
        device = device_of(settings, self._machine)
        return PreparedTraining(
            run=run,
            workspace=self._workspace,
            settings=replaced(settings, dict([*self._names(run, model, adapters, sets, beside), *_best(settings)])),
            model=model,
            adapters=tuple(adapters),
            sets=tuple(sets),
            device=device,
            devices=locks_of(device, values["nproc_per_node"]),
            cautions=(
                *(*cautions, *_cautions(settings.values()), *rows, *mismatches(adapters, model)),
                *manner_cautions(values, model, adapters, beside),
            ),
            checkpoint=checkpoint,
            goes_on=bool(checkpoint),
        )

    # --- what the names mean ------------------------------------------------------------------------------------

    def _adapter(self, name: str, model: ModelInfo | None) -> AdapterInfo:
        adapter = resolve_adapter(name, self._workspace)
        if model is not None:
            check_adapter(adapter, model)
        return adapter

    def _sets(self, option: str, values: dict[str, Any]) -> Iterator[DatasetEntry]:
        names = values[option]
        if option == "dataset" and not names:
            hint = _("name one or more as dataset; finetui data list and F5 show them")
            self._findings.refuse([Problem(option, _("there is nothing to train on"), hint)])
            return iter(())
        usable = partial(_usable, ROW_KINDS[values["stage"]], self._settings[DataOptions])
        return find_sets(self._findings, option, names, self._settings[DataOptions], self._workspace, usable)

    def _checked(self, sets: list[DatasetEntry], values: dict[str, Any]) -> list[Caution]:
        names, against = values["dataset"], values["eval_dataset"]
        choices, kind = self._settings[DataOptions], ROW_KINDS[values["stage"]]
        return checked_rows(self._findings, sets, choices, self._workspace, names=names, against=against, kind=kind)

    def _folder(self, values: dict[str, Any], needed: list[Path]) -> RunDirectory:
        given = values["output_dir"]
        if given is None:
            return RunDirectory(unused(self._workspace.runs / _name(values)))
        run = RunDirectory(run_folder(given, self._workspace))
        if not values["resume_from_checkpoint"]:
            refuse_used(run, overwrite=values["overwrite_output_dir"], needed=needed)
        return run

    def _checkpoint(self, run: RunDirectory, wanted: str | None) -> str:
        if not wanted or self._settings.values()["output_dir"] is None:
            return ""
        typed, findings = typed_path(wanted), self._findings
        if len(typed.parts) > 1 and typed.absolute().parent.resolve() != run.checkpoints.resolve():
            what = _("is no checkpoint of {run}").format(run=inert_line(run.name))
            hint = _("weights of another run: name them with adapter_name_or_path or model_name_or_path")
            findings.refuse([Problem("resume_from_checkpoint", what, hint)])
            return ""
        findings.tried("resume_from_checkpoint", partial(refuse_active, run))
        found = findings.tried("resume_from_checkpoint", partial(find_checkpoint, run, wanted))
        return found.name if found is not None else ""

    def _names(
        self,
        run: RunDirectory,
        model: ModelInfo,
        adapters: list[AdapterInfo],
        sets: list[DatasetEntry],
        beside: Beside,
    ) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Names that would mean something else, or nothing, when the file is used from another folder."""
        values, data = self._settings.values(), data_folder(self._settings[DataOptions], self._workspace)
        yield from lasting_places(run, data, self._workspace, "" if values["output_dir"] else _("method and data"))
        yield "resume_from_checkpoint", (None, "")  # of this segment: launch.json has it
        if model.source == "folder":
            yield "model_name_or_path", (str(model.path.absolute()), "")
        if adapters:
            yield "adapter_name_or_path", (tuple(str(adapter.path.absolute()) for adapter in adapters), "")
        yield from beside.names(values)
        lasting = [lasting_name(entry) for entry in sets]
        yield "dataset", (tuple(lasting[: len(values["dataset"])]), "")
        yield "eval_dataset", (tuple(lasting[len(values["dataset"]) :]), "")


def _best(settings: Settings) -> Iterator[tuple[str, tuple[Any, str]]]:
    """What evaluations of a stage are compared by, where its evaluations tell no loss and nothing was said."""
    values = settings.values()
    first, evaluates = METRICS[values["stage"]][0], values["val_size"] or values["eval_dataset"]
    if evaluates and values["metric_for_best_model"] == "loss" != first:
        yield "metric_for_best_model", (first, _("of stage {stage}").format(stage=values["stage"]))


def _of_context(values: dict[str, Any], model: ModelInfo | None) -> Iterator[Problem]:
    """Where answers that are drawn would fill all that the model sees."""
    option, longest = longest_drawn(values)
    if values["stage"] == "ppo" and model is not None and 0 < model.context_length <= longest:
        what = _("leaves no room for questions: the model sees {context} tokens").format(context=model.context_length)
        yield Problem(option, what, _("lower it"))


def _cautions(values: dict[str, Any]) -> Iterator[Caution]:
    rate, stage = values["learning_rate"], values["stage"]
    if rate >= _CATASTROPHIC_RATE:
        told = _("learning_rate {rate:g} is high enough to destroy what the model can do already")
        yield Caution(told.format(rate=rate), _("1e-4 worked where 2e-2 did not"))
    elif rate > _LARGE_RATES.get(stage, _CATASTROPHIC_RATE):
        told = _("learning_rate {rate:g} is high for stage {stage}: answers may fall apart before they get better")
        yield Caution(
            told.format(rate=rate, stage=stage), _("1e-5 to 1e-4 is usual; watch the distance to the reference")
        )
    yield from idle_cautions(idle_options(values))


def _usable(kind: RowKind, choices: DataOptions, entry: DatasetEntry) -> None:
    """Raises:
    DataError: its files are not there, or it holds what this stage cannot train on.
    """
    check_kind(entry, kind, choices)
    if not entry.hub_name:
        entry.data_files()


def _name(values: dict[str, Any]) -> str:
    """`lora-telecom_train_400`, `rm-lora-comparison_en+`: stage, method and data."""
    method = {"p_tuning": "ptuning"}.get(values["finetuning_type"], values["finetuning_type"])
    first = method if values["stage"] == "sft" else f"{values['stage']}-{method}"
    return joined_name(first, values["dataset"])
