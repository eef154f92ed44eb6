"""`finetui train … --plan`: what the training will be, found out by the engine in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.errors import ConfigError, RecordError, RunError
from core.i18n import _, plural
from core.launch.local import ENVIRONMENT
from core.launch.prepare import Prepared
from core.models.figures import count_text, size_text
from core.records import from_record, to_record
from core.runs.plan import PLAN_RECORDS, DryStep, Plan, Planning, PlanRecord, Refused
from core.runs.told import clock
from core.untrusted import inert, inert_line
from core.workspace import Workspace
from tui.cli.console import Progress, note, print_json
from tui.cli.model_tables import lines

_ENGINE = ("-m", "core.engine.plan")
_LABELS = 13
"""Cells of the longest label, so that what comes later stands below it."""


def show_plan(prepared: Prepared, *, as_json: bool = False) -> int:
    """Ask the engine for the plan and print it.

    Raises:
        ConfigError: the training cannot be.
        RunError: the engine ended without a plan.
    """
    progress, planned = Progress(), False
    progress.show(_("planning"))
    for record in ask_engine(prepared.config, prepared.workspace, dry=True):
        match record:
            case Planning(fraction=fraction, stage=stage):
                progress.show(_("rows become tokens") if stage == "tokens" else _("checking"), f"{fraction:.0%}")
            case Refused(problems=problems):
                progress.clear()
                raise ConfigError(problems)
            case Plan() | DryStep():
                progress.clear()
                planned = True
                _print(record, prepared, as_json)
                if isinstance(record, Plan):
                    progress.show(_("trying the longest batch"))
    progress.clear()
    return 0 if planned else 1


def _print(record: Plan | DryStep, prepared: Prepared, as_json: bool) -> None:
    if as_json:
        print_json(to_record(record))
        return
    for line in lines(list(plan_pairs(record) if isinstance(record, Plan) else dry_pairs(record)), _LABELS):
        print(line, flush=True)
    if isinstance(record, Plan):
        for message, hint in _warnings(record, prepared):
            note(_("warning: {text}").format(text=inert_line(f"{message} ({hint})" if hint else message)))


def _warnings(plan: Plan, prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What is to be said aloud; about one option the plan knows more than what was said before it."""
    planned = {found.where for found in plan.warnings}
    for caution in prepared.cautions:
        if caution.message.partition(" ")[0].rstrip(":") not in planned:
            yield caution.message, caution.hint
    for found in plan.warnings:
        yield f"{found.where}: {found.what}", found.hint


def plan_pairs(plan: Plan) -> Iterator[tuple[str, str]]:
    """A plan, label and value."""
    report, memory, disk = plan.report, plan.memory, plan.disk
    share = 100 * plan.trainable / max(1, plan.parameters)
    yield _("model"), inert_line(plan.model)
    trained = _("{method}: {trainable} of {parameters} parameters ({share:.2g} %)")
    yield (
        _("trained"),
        trained.format(
            method=plan.method,
            trainable=count_text(plan.trainable),
            parameters=count_text(plan.parameters),
            share=share,
        ),
    )
    rows = _("{rows} to train on, {tokens} tokens, {trained} of them trained; the longest has {longest}")
    yield (
        _("rows"),
        rows.format(
            rows=f"{plan.rows:,}",
            tokens=f"{report.tokens:,}",
            trained=f"{report.trained_tokens:,}",
            longest=report.longest,
        ),
    )
    if plan.eval_rows:
        yield _("evaluated on"), plural("{count} row", "{count} rows", plan.eval_rows)
    if report.cut_rows:
        cut = _("{count}: {turns} lost turns, {questions} a part of the question, {answers} of the answer")
        yield (
            _("cut rows"),
            cut.format(
                count=report.cut_rows,
                turns=report.cut_turns,
                questions=report.cut_questions,
                answers=report.cut_answers,
            ),
        )
    if report.left_out:
        reasons = ", ".join(f"{name} {count}" for name, count in report.left_out_reasons.items())
        yield _("left out"), inert_line(f"{report.left_out} ({reasons})")
    if plan.packs:
        yield _("packs"), f"{plan.packs:,}"
    yield _("steps"), _steps(plan)
    told = (
        plural("{count} point of the loss", "{count} points of the loss", plan.points),
        plural("{count} evaluation", "{count} evaluations", plan.evaluations),
        plural("{count} checkpoint", "{count} checkpoints", plan.checkpoints),
    )
    yield _("on the way"), ", ".join(told)
    used = memory.checkpointed_total if plan.gradient_checkpointing else memory.total
    free = _("{used} of {free} free on {device}") if memory.available else _("{used} on {device}")
    held = free.format(used=size_text(used), free=size_text(memory.available), device=memory.device)
    yield _("memory"), held + (_(", with gradient checkpointing") if plan.gradient_checkpointing else "")
    yield _("disk"), _("{used} of {free} free").format(used=size_text(disk.total), free=size_text(disk.free))


def _steps(plan: Plan) -> str:
    told = _("{steps} in {epochs} epochs: {updates}, {batches}, {rows}")
    return told.format(
        steps=f"{plan.total_steps:,}",
        epochs=f"{round(plan.epochs, 1 if plan.epochs >= 10 else 2):,}".removesuffix(".0"),
        updates=plural("{count} update an epoch", "{count} updates an epoch", plan.updates_per_epoch),
        batches=plural("{count} batch", "{count} batches", plan.micro_batches_per_epoch),
        rows=plural("{count} row an update", "{count} rows an update", plan.rows_per_update),
    )


def dry_pairs(dry: DryStep) -> Iterator[tuple[str, str]]:
    """What the longest batch came to, label and value."""
    told = _("{seconds:.2f} s for {tokens} tokens, {memory} at most")
    yield _("longest batch"), told.format(seconds=dry.seconds, tokens=dry.tokens, memory=size_text(dry.peak_memory))
    yield _("time"), _("about {time} for the whole training").format(time=clock(dry.estimated_seconds))


def ask_engine(text: str, workspace: Workspace, *, dry: bool) -> Iterator[PlanRecord]:
    """What the engine says of a configuration; it is ended when the caller no longer listens.

    Raises:
        RunError: the engine ended without a word.
    """
    with tempfile.TemporaryDirectory(prefix="finetui-plan-") as folder:
        config, errors = Path(folder) / "config.yaml", Path(folder) / "errors.log"
        config.write_text(text, encoding="utf-8")
        environment = {**os.environ, **ENVIRONMENT, "FINETUI_WORKSPACE": str(workspace.root)}
        command = [sys.executable, "-P", *_ENGINE, str(config), *(["--dry"] if dry else [])]
        with errors.open("wb") as stderr:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        known = False
        try:
            for record in _records(child):
                known = True
                yield record
            if child.wait() and not known:
                told = errors.read_text(errors="replace").strip().splitlines()
                raise RunError(_("the engine ended without a plan"), inert("\n".join(told[-5:])))
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _records(child: subprocess.Popen[bytes]) -> Iterator[PlanRecord]:
    for line in child.stdout or ():
        with contextlib.suppress(ValueError, RecordError):
            yield from_record(PLAN_RECORDS, json.loads(line))  # type: ignore[misc]
