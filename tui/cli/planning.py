"""`finetui train … --plan`: what the training will be, found out by the engine in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import ConfigError
from core.i18n import _
from core.launch.prepare import PreparedTraining
from core.records import to_record
from core.runs.plan import DryStep, Plan, Planning, Refused
from core.untrusted import inert_line
from tui.cli.console import Progress, note, print_json
from tui.cli.model_tables import lines
from tui.plan_child import ask_engine
from tui.plan_text import dry_pairs, plan_pairs

_LABELS = 13
"""Cells of the longest label, so that what comes later stands below it."""


def show_plan(prepared: PreparedTraining, *, as_json: bool = False) -> int:
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


def _print(record: Plan | DryStep, prepared: PreparedTraining, as_json: bool) -> None:
    if as_json:
        print_json(to_record(record))
        return
    for line in lines(list(plan_pairs(record) if isinstance(record, Plan) else dry_pairs(record)), _LABELS):
        print(line, flush=True)
    if isinstance(record, Plan):
        for message, hint in _warnings(record, prepared):
            note(_("warning: {text}").format(text=inert_line(f"{message} ({hint})" if hint else message)))


def _warnings(plan: Plan, prepared: PreparedTraining) -> Iterator[tuple[str, str]]:
    """What is to be said aloud; about one option the plan knows more than what was said before it."""
    planned = {found.where for found in plan.warnings}
    for caution in prepared.cautions:
        if caution.message.partition(" ")[0].rstrip(":") not in planned:
            yield caution.message, caution.hint
    for found in plan.warnings:
        yield f"{found.where}: {found.what}", found.hint
