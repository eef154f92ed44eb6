"""The plan of a training, and what it was made of, for the dry step that may follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from core.config.data import DataOptions
from core.config.finetuning import FinetuningOptions
from core.config.load import Settings
from core.config.model import BaseModelOptions
from core.config.optimization import OptimizationOptions
from core.config.output import LaunchOptions
from core.config.ppo import PPOOptions
from core.config.stages import ROW_KINDS
from core.data.checks import Report, check
from core.engine.batches.cache import token_set
from core.engine.batches.order import Updates, data_seed, split_rows, updates_of
from core.engine.batches.recipe import Recipe, longest_answer, recipe_for
from core.engine.batches.rows import StageRows, rows_of
from core.engine.batches.verdict import mistakes, nothing
from core.engine.planning import cautions
from core.engine.planning.anatomy import read_anatomy
from core.engine.planning.beside import parameters_beside
from core.engine.planning.counts import Counts, count, disk_estimate
from core.engine.planning.memory import estimate_memory, is_short, longest, place_of
from core.engine.planning.trainable import head_parameters, idle_parameters, trainable_parameters
from core.errors import ConfigError, Problem
from core.i18n import _, plural
from core.models.adapters import resolve_adapter
from core.models.catalog import resolve_model
from core.models.info import ModelInfo
from core.runs.plan import MemoryEstimate, Plan, Planning, TokenReport
from core.runs.quantities import TrainingStage
from core.workspace import Workspace

_SECONDS_BETWEEN_WORDS = 0.2


@dataclass(frozen=True)
class Draft:
    """A plan with its rows and updates."""

    settings: Settings
    workspace: Workspace
    model: ModelInfo
    recipe: Recipe
    report: TokenReport
    """Of all rows, those kept out included."""
    rows: StageRows
    """That are trained on."""
    eval_rows: int
    eval_tokens: int
    found: Report
    """By the checks of the data."""
    eval_reports: Mapping[str, TokenReport] = field(default_factory=dict)
    """What became of the rows of each of `eval_dataset`."""

    @cached_property
    def updates(self) -> Updates:
        world = self.settings[LaunchOptions].nproc_per_node
        return updates_of(self.settings, self.rows.lengths, world=world)

    @property
    def stage(self) -> TrainingStage:
        return self.settings[FinetuningOptions].stage

    @cached_property
    def trainable(self) -> int:
        options = self.settings[FinetuningOptions]
        adapters = [resolve_adapter(name, self.workspace) for name in options.adapter_name_or_path]
        anatomy = read_anatomy(self.model.path)
        if not anatomy.weights:  # pickles tell no shapes
            return 0
        counted = trainable_parameters(anatomy, options, adapters) + head_parameters(anatomy, self.stage)
        return counted - idle_parameters(anatomy, self.stage, options)

    @cached_property
    def memory(self) -> MemoryEstimate:
        size = longest(self.settings, self.updates, self.rows.projected)
        anatomy = read_anatomy(self.model.path)
        beside = parameters_beside(self.settings, self.model, self.trainable, self.workspace)
        return estimate_memory(self.settings, anatomy, self.trainable, size, place_of(self.settings), beside)

    @property
    def checkpointing(self) -> bool:
        choice = self.settings[OptimizationOptions].gradient_checkpointing
        return is_short(self.memory) if choice == "auto" else choice == "true"

    @cached_property
    def counts(self) -> Counts:
        return count(self.settings, self.updates, self.eval_rows)

    @cached_property
    def plan(self) -> Plan:
        """The numbers, and what they warn of."""
        settings, updates, counts = self.settings, self.updates, self.counts
        anatomy = read_anatomy(self.model.path)
        disk = disk_estimate(settings, anatomy, self.trainable, self.memory, counts.checkpoints, self.workspace)
        warnings = (
            *cautions.of_steps(settings, updates, counts),
            *cautions.of_model(settings, self.model, self.recipe.chosen_template, self.report),
            *cautions.of_packing(settings, updates),
            *cautions.of_sets(settings[DataOptions], self.eval_reports),
            *cautions.of_room(settings, self.memory, disk, self.checkpointing),
            *_of_data(self.found),
        )
        return Plan(
            method=settings[FinetuningOptions].finetuning_type,
            model=self.model.name,
            report=self.report,
            rows=len(self.rows),
            eval_rows=self.eval_rows,
            rows_per_update=updates.rows_per_update,
            micro_batches_per_epoch=updates.micro_batches_per_epoch,
            updates_per_epoch=updates.per_epoch,
            total_steps=counts.total_steps,
            epochs=counts.epochs,
            packs=len(updates.packs) if updates.pack_to else 0,
            checkpoints=counts.checkpoints,
            points=counts.points,
            evaluations=counts.evaluations,
            parameters=self.model.parameters + self._added,
            trainable=self.trainable,
            memory=self.memory,
            gradient_checkpointing=self.checkpointing,
            disk=disk,
            warnings=warnings,
            stage=self.stage,
            longest_answer=longest_answer(settings) if self.stage == "ppo" else 0,
            passes=settings[PPOOptions].ppo_epochs if self.stage == "ppo" else 1,
        )

    @property
    def _added(self) -> int:
        """Parameters that the model does not have by itself."""
        inside = self.settings[FinetuningOptions].finetuning_type in ("full", "freeze")
        return head_parameters(read_anatomy(self.model.path), self.stage) if inside else self.trainable


def draft(settings: Settings, workspace: Workspace, tell: Callable[[Planning], None]) -> Draft:
    """Check the data, make it tokens, and count.

    Raises:
        BadData: rows have mistakes that a training does not start with.
        ConfigError: the model cannot be used, or rows bear no loss.
        FinetuiError: whatever else stands against it.
    """
    options = settings[DataOptions]
    model = _usable_model(settings, workspace)
    told = _now_and_then(tell)
    found = check(
        options.dataset,
        options,
        workspace,
        against=options.eval_dataset,
        kind=ROW_KINDS[settings[FinetuningOptions].stage],
        on_progress=lambda done, total: told(done / max(total, 1), "checking"),
    )
    found.raise_if_it_stops(options.on_bad_rows)
    recipe = recipe_for(settings, options.dataset, model.path, workspace)
    encoded = token_set(recipe, lambda fraction: told(fraction, "tokens"))
    wrong = mistakes(encoded.report, options)
    if wrong or not len(encoded):
        raise ConfigError(wrong or [Problem("dataset", nothing(recipe.kind))])
    every = rows_of(recipe, encoded)
    kept, out = split_rows(len(every), options.val_size, data_seed(settings))
    if not len(kept):
        what = _("leaves none of the {count} rows to train on").format(count=len(every))
        raise ConfigError([Problem("val_size", what)])
    reports = {
        name: token_set(recipe_for(settings, (name,), model.path, workspace)).report for name in options.eval_dataset
    }
    wrong = tuple(problem for report in reports.values() for problem in mistakes(report, options))
    if wrong:
        raise ConfigError(wrong)
    eval_rows = len(out) + sum(report.rows for report in reports.values())
    eval_tokens = int(every.lengths[out].sum()) + sum(report.tokens for report in reports.values())
    rows = rows_of(recipe, encoded, kept)
    return Draft(settings, workspace, model, recipe, encoded.report, rows, eval_rows, eval_tokens, found, reports)


def _usable_model(settings: Settings, workspace: Workspace) -> ModelInfo:
    options = settings[BaseModelOptions]
    model = resolve_model(options.model_name_or_path, workspace)
    pickled = options.allow_pickle and not model.parameters  # their shapes are told by nobody
    own_code = options.trust_remote_code
    if model.problems and not pickled and not own_code:
        raise ConfigError([Problem("model_name_or_path", problem) for problem in model.problems])
    return model


def _now_and_then(tell: Callable[[Planning], None]) -> Callable[[float, Literal["checking", "tokens"]], None]:
    last = time.monotonic()

    def told(fraction: float, stage: Literal["checking", "tokens"]) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_WORDS:
            last = time.monotonic()
            tell(Planning(round(fraction, 3), stage))

    return told


def _of_data(found: Report) -> Iterator[Problem]:
    """What the checks of the data warn of: each kind once, with its first place."""
    said: set[str] = set()
    for problem in found.problems:
        if problem.kind in said or problem.severity != "warning":
            continue
        said.add(problem.kind)
        others = found.counts[problem.kind] - 1
        more = f" ({plural('and {count} more like it', 'and {count} more like it', others)})" if others else ""
        yield Problem("dataset", f"{problem.where}: {problem.what}{more}", problem.hint)
