"""`finetui runs`: what runs, what ran, and what to do with it. The same as the Train screen."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.i18n import _
from core.launch.local import remove as remove_run
from core.launch.local import resume as resume_run
from core.launch.stopping import kill, stop, terminate
from core.records import to_record
from core.runs.catalog import find_run, list_runs, run_name
from core.runs.history import History, read_history
from core.runs.launch_file import read_launch
from core.runs.quantities import QUANTITIES, headline, stage_named
from core.runs.rundir import PIPELINE, RunDirectory
from core.runs.state import is_active
from core.runs.summary import RunSummary, summarise
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import note, print_json
from tui.cli.ending import await_end
from tui.cli.following import follow, ways_on
from tui.cli.model_tables import lines, table
from tui.cli.run_lines import fact_pairs, failure_text, run_rows, state_word, summary_record

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Name = Annotated[str, typer.Argument(metavar="RUN", help=_("Its name, its folder, or last."))]
Names = Annotated[list[str], typer.Argument(metavar="RUN…", help=_("Names or folders."))]
Json = Annotated[bool, typer.Option("--json", help=_("Print JSON, one object a line."))]


def _help(text: str) -> dict[str, Any]:
    return {"help": text, "short_help": text}


@app.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_all()


@app.command("list", **_help(_("List all runs, the newest last.")))
def list_all(
    kind: Annotated[
        str, typer.Option(metavar="KIND", help=_("Of one kind alone: train, eval, pipeline, or a stage of training."))
    ] = "",
    as_json: Json = False,
) -> None:
    workspace = find_workspace()
    wanted = _kind(kind)
    summaries = [one for run in list_runs(workspace) if wanted in _kinds(one := summarise(run)) or not wanted]
    if as_json:
        for summary in summaries:
            print_json(summary_record(summary, workspace))
    elif summaries:
        for line in table(run_rows(summaries, workspace)):
            print(line)
    elif wanted == PIPELINE:
        print(_("no pipelines yet; start one with: finetui pipeline"))
    elif wanted == "evaluation":
        print(_("no evaluations yet; start one with: finetui eval"))
    else:
        print(_("no runs yet; start one with: finetui train"))


def _kind(typed: str) -> str:
    """What runs call the kind that is typed; nothing for all."""
    known = ("train", "eval", PIPELINE, *QUANTITIES)
    if typed and typed not in (*known, "evaluation"):
        hint = _("there are: {names}").format(names=", ".join(known))
        raise UsageError(_("there is no kind {kind!r} of runs").format(kind=typed), hint)
    return {"eval": "evaluation"}.get(typed, typed)


def _kinds(summary: RunSummary) -> tuple[str, ...]:
    """What a run may be asked for as."""
    return (summary.kind, summary.stage) if summary.kind == "train" else (summary.kind,)


@app.command(**_help(_("Tell everything about a run: where it stands, what it saved, why it failed.")))
def show(name: Name, as_json: Json = False) -> None:
    workspace = find_workspace()
    run = find_run(name, workspace)
    history = read_history(run)
    if as_json:
        launch = to_record(read_launch(run))
        checkpoints = [to_record(saved) for saved in history.checkpoints]
        more = {"checkpoints": checkpoints, "warnings": [to_record(warned) for warned in history.warnings]}
        print_json({**summary_record(summarise(run), workspace), **more, "launch": launch})
        return
    for line in lines(fact_pairs(history, workspace)):
        print(line)
    if history.failed is not None and (log := failure_text(history.failed)):
        print(f"\n{log}")


@app.command("follow", **_help(_("Show a run until it ends; ctrl+c leaves it running.")))
def follow_one(name: Name = "last", as_json: Json = False) -> None:
    workspace = find_workspace()
    code = _follow(find_run(name, workspace), workspace, as_json)
    if code:
        raise typer.Exit(code)


def _follow(run: RunDirectory, workspace: Workspace, as_json: bool) -> int:
    if read_launch(run).kind == PIPELINE:
        from tui.cli.pipeline_following import follow_pipeline  # options, for pipelines alone

        return follow_pipeline(run, workspace, as_json=as_json)
    return follow(run, workspace, as_json=as_json)


@app.command("stop", **_help(_("Have a run save and end after its current step or answers, and wait for that.")))
def stop_one(
    names: Names,
    now: Annotated[bool, typer.Option("--now", help=_("Save and end at once; killed after a minute."))] = False,
    kill_it: Annotated[bool, typer.Option("--kill", help=_("End it without saving."))] = False,
    wait: Annotated[bool, typer.Option(help=_("Wait until it has ended."))] = True,
) -> None:
    workspace = find_workspace()
    runs = [find_run(name, workspace) for name in names]
    ask = kill if kill_it else terminate if now else stop
    for run in runs:
        ask(run)
    late = 0
    for run in runs if wait else ():
        name = run_name(run, workspace)
        state = await_end(run, name, told=now or kill_it)
        if is_active(state):
            late += 1
        else:
            print(f"{inert_line(name)}: {state_word(state)}")
    if late:
        raise typer.Exit(1)


@app.command("resume", **_help(_("Go on with a run exactly where a checkpoint left it, or with an evaluation.")))
def resume_one(
    name: Name,
    checkpoint: Annotated[
        str, typer.Option(metavar="STEP", help=_("Its folder's name or step. Not given: the newest."))
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help=_("Return at once."))] = False,
    as_json: Json = False,
) -> None:
    workspace = find_workspace()
    run = find_run(name, workspace)
    resume_run(run, checkpoint or None)
    if not detach:
        code = _follow(run, workspace, as_json)
        if code:
            raise typer.Exit(code)
    elif as_json:
        print_json({"run": run_name(run, workspace), "path": str(run.path), "from": read_launch(run).resumed_from})
    else:
        checkpoint = read_launch(run).resumed_from
        told = _("{name} goes on from {checkpoint}") if checkpoint else _("{name} goes on where it was")
        print(told.format(name=inert_line(run.name), checkpoint=inert_line(checkpoint)))
        note(ways_on(run, workspace))


@app.command("rm", **_help(_("Delete runs with all that they saved.")))
def remove(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask."))] = False,
) -> None:
    workspace = find_workspace()
    runs = [find_run(name, workspace) for name in names]
    for run in runs:
        shown = inert_line(str(run.path))
        if not yes and sys.stdin.isatty():
            typer.confirm(_("Delete {path}?").format(path=shown), abort=True, err=True)
        remove_run(run, workspace)
        print(_("removed {path}").format(path=shown))


def _refuse_evaluation(run: RunDirectory) -> None:
    if read_launch(run).kind == "evaluation":
        name = inert_line(run.name)
        what = _("{name} is an evaluation, which has numbers and no curves").format(name=name)
        raise UsageError(what, _("see them: finetui report {name}").format(name=name))


def _headline(histories: Sequence[History]) -> str:
    """The curve that tells how these runs go; loss, which all have, where they are of several stages."""
    names = {headline(stage_named(read_launch(history.run).stage)) for history in histories}
    name = names.pop() if len(names) == 1 else "loss"
    return name if any(name in history.curves for history in histories) else "loss"


@app.command(**_help(_("Draw a run's curves in the terminal, several runs over one another.")))
def plot(
    names: Names,
    metric: Annotated[
        str,
        typer.Option(metavar="NAME", help=_("loss, eval_loss, reward, kl, … Not given: what the stage is watched by.")),
    ] = "",
    smooth: Annotated[bool, typer.Option(help=_("Smoothed as LLaMA-Factory does, over the raw curve."))] = True,
    log: Annotated[bool, typer.Option("--log", help=_("A logarithmic axis."))] = False,
    as_json: Json = False,
) -> None:
    from tui.cli.plotting import chart_lines, curve_record  # the drawing, for this verb alone

    workspace = find_workspace()
    runs = [find_run(name, workspace) for name in names]
    for run in runs:
        _refuse_evaluation(run)
    histories = [read_history(run) for run in runs]
    metric = metric or _headline(histories)
    if as_json:
        for history in histories:
            print_json(curve_record(history, metric, workspace))
        return
    size = shutil.get_terminal_size((100, 30))
    for line in chart_lines(
        histories, metric, workspace, size.columns, min(size.lines - 4, 24), smooth=smooth, log=log
    ):
        print(line)
    for history in histories:
        for picture in sorted(history.run.path.glob("training_*.png")):
            print(inert_line(str(picture)))
