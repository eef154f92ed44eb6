"""`finetui pipeline`: several trainings and evaluations, one after another, each standing on what earlier ones made."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from pydantic import Field

from core.config.command_line import by_name, read_command_line
from core.config.evaluation import EVALUATION
from core.config.fields import Also, FieldSpec, Section, Shown, SplitAt, describe
from core.config.load import fill
from core.config.pipeline_file import read_pipeline
from core.config.sources import Entry
from core.config.training import TRAINING
from core.errors import UsageError, did_you_mean
from core.i18n import _
from core.runs.catalog import find_run
from core.runs.launch_file import Caution, read_launch
from core.runs.rundir import PIPELINE
from core.runs.state import is_active, state_of
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import note, print_json
from tui.cli.options import help_groups

if TYPE_CHECKING:
    from core.launch.pipeline.plan import PipelinePlan

_OF_A_STEP = re.compile(r"--([A-Za-z0-9][\w-]*)\.([\w-]+)(?:=.*)?", re.ASCII | re.DOTALL)
_STOP_SECONDS = 75.0


class PipelineOptions(Section):
    """What this command does with a pipeline."""

    title: ClassVar[str] = "Command"

    config: Annotated[str | None, Shown("FILE")] = None
    """The file of the pipeline; it may also stand alone, without `--config`."""

    pipeline: Annotated[str | None, Also("names"), Shown("NAME")] = None
    """A pipeline that was started before, by its name; it may stand alone too."""

    plan: bool = False
    """Tell the steps, what they stand on and with which options they run, and start nothing."""

    restart: Annotated[tuple[str, ...], SplitAt(","), Shown("STEP,…")] = ()
    """Delete the runs of these steps and of all that stand on them, and make them anew."""

    stop: bool = False
    """Have the pipeline end: its step saves and ends, and no other begins."""

    detach: bool = False
    """Start it and return at once; the same command shows it."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON, one object a line: the plan, or what the pipeline and its steps tell."""


@dataclass(frozen=True, slots=True)
class PipelineVerb:
    """A verb whose file holds options of trainings and evaluations."""

    sections: tuple[type[Section], ...] = (PipelineOptions,)
    """Its own options."""

    def register(self, root: typer.Typer, name: str, help_line: str) -> None:
        """Make the verb known to typer."""
        text = "\n\n".join((help_line, _about(), *help_groups(describe(*self.sections))))

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


def _about() -> str:
    return _(
        "The steps are runs like others, one at a time: finetui runs and the Train screen show them. The pipeline goes "
        "on when you leave, and the same command goes on with it: what is finished stays, what ended early is gone on "
        "with. Options of finetui train and finetui eval win over the file's: --OPTION for every step, --STEP.OPTION "
        "for one."
    )


def _pipeline(words: Sequence[str]) -> int:
    command, typed = _read(words)
    workspace = find_workspace()
    path = _file(command, workspace)
    wanted = read_pipeline(path, typed)
    if command.stop:
        return _stop(wanted.name, workspace)
    from core.launch.pipeline.plan import plan_pipeline  # models, data, metrics: help does without
    from core.launch.pipeline.start import start_pipeline

    plan = plan_pipeline(wanted, workspace, restart=command.restart)
    if command.plan:
        from tui.cli.pipeline_table import plan_lines, plan_record

        if command.json_records:
            print_json(plan_record(plan))
        else:
            for line in plan_lines(plan):
                print(line)
        return 0
    if not plan.active and not plan.done:
        _warn(plan)
        start_pipeline(plan)
    elif not command.json_records:
        note(_("all steps are finished") if plan.done else _("it is going on already"))
    return _leave(plan, command) if command.detach else _follow(plan, command)


# --- what is typed ----------------------------------------------------------------------------------------------


def _read(words: Sequence[str]) -> tuple[PipelineOptions, list[Entry]]:
    """What is meant for the command, and what for the steps.

    Raises:
        ConfigError: all that is wrong with the former.
    """
    own = describe(PipelineOptions)
    of_steps = describe(*TRAINING, *EVALUATION)
    line = read_command_line(words, [*own, *_of_single_steps(words, of_steps), *of_steps])
    ours = {name for spec in own for name in (spec.name, *spec.aliases)}
    known = by_name(of_steps)
    # What is no option at all is told by who has the nearest.
    ours |= {entry.key for entry in line.entries if entry.key not in known and did_you_mean(entry.key, ours)}
    settings = fill((PipelineOptions,), [entry for entry in line.entries if entry.key in ours], line.problems)
    return settings[PipelineOptions], [entry for entry in line.entries if entry.key not in ours]


def _of_single_steps(words: Sequence[str], specs: Sequence[FieldSpec]) -> Iterator[FieldSpec]:
    """`--STEP.OPTION`, as far as it is typed."""
    known = by_name(specs)
    for word in words:
        found = _OF_A_STEP.fullmatch(word)
        spec = known.get(found[2].replace("-", "_")) if found else None
        if found and spec is not None:
            name = f"{found[1]}.{found[2]}".replace("-", "_")
            yield dataclasses.replace(spec, name=name, aliases=())


def _file(command: PipelineOptions, workspace: Workspace) -> Path:
    if command.config is not None:
        return Path(command.config).expanduser()
    if command.pipeline is None:
        raise UsageError(_("which pipeline?"), _("name its file; examples/persona_rlhf.yaml is one"))
    run = find_run(command.pipeline, workspace)
    if read_launch(run).kind != PIPELINE:
        what = _("{name} is a run, and no pipeline").format(name=inert_line(command.pipeline))
        raise UsageError(what, _("go on with it: finetui runs resume {name}").format(name=inert_line(command.pipeline)))
    return run.config


# --- what is done -----------------------------------------------------------------------------------------------


def _stop(name: str, workspace: Workspace) -> int:
    from core.launch.pipeline.standing import pipeline_run  # see above
    from core.launch.stopping import stop, wait_ended
    from tui.cli.run_lines import state_word

    run = pipeline_run(name, workspace)
    stop(run)
    state = wait_ended(run, _STOP_SECONDS)
    if is_active(state):
        note(_("{name} has not ended yet; it ends after its current step").format(name=inert_line(name)))
        note(_("sooner: finetui runs stop {name} --now").format(name=inert_line(name)))
        return 1
    print(f"{inert_line(name)}: {state_word(state)}")
    return 0


def _warn(plan: PipelinePlan) -> None:
    from tui.cli.starting import warn  # runs: help does without

    told: dict[Caution, list[str]] = {}
    for planned in plan.steps:
        for caution in planned.cautions:
            told.setdefault(caution, []).append(planned.step.name)
    for caution, names in told.items():
        warn(dataclasses.replace(caution, message=f"{', '.join(names)}: {caution.message}"))


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
