"""`finetui pipeline`: several trainings and evaluations, one after another, each standing on what earlier ones made."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from core.config.fields import Section, describe
from core.config.pipeline import Pipeline
from core.config.pipeline_file import read_pipeline
from core.errors import UsageError
from core.i18n import _
from core.runs.catalog import find_run, list_runs
from core.runs.launch_file import Caution, read_launch
from core.runs.rundir import PIPELINE
from core.runs.state import is_active, state_of
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import note, print_json
from tui.cli.following import INTERRUPTED
from tui.cli.options import help_groups
from tui.cli.pipeline_options import PipelineOptions, read_words

if TYPE_CHECKING:
    from core.launch.pipeline.plan import PipelinePlan

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class PipelineVerb:
    """A verb whose file holds options of trainings and evaluations."""

    sections: tuple[type[Section], ...] = (PipelineOptions,)
    """Its own options."""

    def register(self, root: typer.Typer, name: str, help_line: str) -> None:
        """Make the verb known to typer."""
        text = "\n\n".join((help_line, *_about(), *help_groups(describe(*self.sections))))

        @root.command(
            name,
            help=text,
            short_help=help_line,
            options_metavar="FILE.yaml [--OPTION VALUE]… [--STEP.OPTION VALUE]…",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        def _verb(context: typer.Context) -> int:
            return _pipeline(context.args)


pipeline = PipelineVerb()


def _about() -> Iterator[str]:
    yield _(
        "The steps are runs like others, one at a time: finetui runs and the Train screen show them. The pipeline goes "
        "on when you leave, and the same command goes on with it: what is finished stays, what ended early is gone on "
        "with. Options of finetui train and finetui eval win over the file's: --OPTION for every step, --STEP.OPTION "
        "for one."
    )
    rows = [
        ("examples/persona_rlhf.yaml --plan", _("tell all, start nothing")),
        ("examples/persona_rlhf.yaml", _("start it, or go on")),
        ("persona", _("the same, by its name")),
        ("persona --stop", _("save and end")),
        ("persona --restart ppo", _("make a step anew")),
        ("persona --ppo.max_steps 60", _("a step's option")),
        ("examples/sweep.yaml", _("learning rates compared")),
        ("examples/ask_twice.yaml", _("evaluations alone")),
    ]
    widest = max(len(words) for words, _what in rows)
    # \b keeps typer from filling the lines of the paragraph.
    yield "\n".join(["\b", _("Examples:"), *(f"  finetui pipeline {words:<{widest}}  {what}" for words, what in rows)])
    yield _("All that were started: finetui runs list --kind pipeline. What a file can say: docs/pipelines.md.")


def _pipeline(words: Sequence[str]) -> int:
    command, typed = read_words(words)
    workspace = find_workspace()
    path = _file(command, workspace)
    wanted = read_pipeline(path, typed)
    if command.stop:
        return _stop(wanted.name, workspace)
    if not command.plan and not _awaited(wanted, workspace):
        return INTERRUPTED
    from core.launch.pipeline.plan import plan_pipeline  # models, data, metrics: help does without

    plan = plan_pipeline(wanted, workspace, restart=command.restart, keep=command.keep)
    if command.plan:
        _tell(plan, command)
        return 0
    _warn(plan)
    if not plan.active and not plan.done:
        _start(plan, command)
    elif not command.json_records:
        note(_("all steps are finished") if plan.done else _("it is going on already"))
    return _leave(plan, command) if command.detach else _follow(plan, command)


def _file(command: PipelineOptions, workspace: Workspace) -> Path:
    if command.config is not None:
        return Path(command.config).expanduser()
    if command.pipeline is None:
        raise UsageError(_("which pipeline?"), _which(workspace))
    run = find_run(command.pipeline, workspace)
    if read_launch(run).kind != PIPELINE:
        what = _("{name} is a run, and no pipeline").format(name=inert_line(command.pipeline))
        raise UsageError(what, _("go on with it: finetui runs resume {name}").format(name=inert_line(command.pipeline)))
    return run.config


def _which(workspace: Workspace) -> str:
    started = [run.name for run in list_runs(workspace) if read_launch(run).kind == PIPELINE]
    if not started:
        return _("name its file; examples/persona_rlhf.yaml is one")
    names = inert_line(", ".join(started[-_MOST_NAMED:]))
    return _("name its file, or one that was started: {names}").format(names=names)


# --- what is done -----------------------------------------------------------------------------------------------


def _stop(name: str, workspace: Workspace) -> int:
    from core.launch.pipeline.standing import pipeline_run  # see above
    from core.launch.stopping import stop
    from tui.cli.ending import await_end
    from tui.cli.run_lines import state_word

    run = pipeline_run(name, workspace)
    stop(run)
    state = await_end(run, name)
    if is_active(state):
        return 1
    print(f"{inert_line(name)}: {state_word(state)}")
    return 0


def _awaited(wanted: Pipeline, workspace: Workspace) -> bool:
    """Wait for what was asked to end: who starts it again would stop with it. False when the reader left."""
    from core.launch.pipeline.standing import ending_run  # see above
    from core.launch.stopping import wait_ended

    try:
        while (run := ending_run(wanted, workspace)) is not None:
            told = _("{name} is still ending; waiting for that, then it goes on (ctrl+c leaves it alone)")
            note(told.format(name=inert_line(run.name)))
            while is_active(wait_ended(run, 1.0)):
                pass
    except KeyboardInterrupt:
        note("")
        return False
    return True


def _tell(plan: PipelinePlan, command: PipelineOptions) -> None:
    from tui.cli.pipeline_table import plan_lines, plan_record  # see above

    if command.json_records:
        print_json(plan_record(plan))
        return
    for line in plan_lines(plan):
        print(line)


def _start(plan: PipelinePlan, command: PipelineOptions) -> None:
    from core.launch.pipeline.start import start_pipeline  # see above
    from tui.cli.pipeline_table import deleted_lines

    for line in deleted_lines(plan):
        note(line)
    if plan.restarted and not command.yes and sys.stdin.isatty():
        typer.confirm(_("Delete and make anew?"), abort=True, err=True)
    start_pipeline(plan)


def _warn(plan: PipelinePlan) -> None:
    from tui.cli.starting import warn  # runs: help does without

    told: dict[Caution, list[str]] = {}
    for planned in plan.steps:
        for caution in planned.cautions:
            told.setdefault(caution, []).append(planned.step.name)
    for caution, names in told.items():
        warn(dataclasses.replace(caution, message=f"{', '.join(names)}: {caution.message}"))
    for caution in plan.left_behind:
        warn(caution)


def _leave(plan: PipelinePlan, command: PipelineOptions) -> int:
    if command.json_records:
        print_json({"pipeline": plan.run.name, "path": str(plan.run.path), "state": state_of(plan.run)})
        return 0
    from tui.cli.pipeline_table import ways_on  # see above

    print(_("started {name}").format(name=inert_line(plan.run.name)))
    note(ways_on(plan.run))
    return 0


def _follow(plan: PipelinePlan, command: PipelineOptions) -> int:
    from tui.cli.pipeline_following import follow_pipeline  # see above

    if not command.json_records and not plan.done:
        note(_("pipeline {name}; ctrl+c leaves it running").format(name=inert_line(plan.run.name)))
    return follow_pipeline(plan.run, plan.workspace, as_json=command.json_records)
