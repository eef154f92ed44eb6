"""`finetui models`: what is there, what can be fetched, and the verbs for both. The same as the Models screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from core.errors import ModelNotFound
from core.i18n import _
from core.models.adapters import find_adapters, resolve_adapter
from core.models.catalog import adapters_without_base, list_models, resolve_model
from core.models.figures import size_text
from core.models.info import AdapterInfo, ModelInfo
from core.models.packaged import PACKAGED_MODELS, PackagedModel
from core.models.progress import OnProgress, PullProgress
from core.models.pull import pull as pull_model
from core.models.pull import remove as remove_model
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import cancelled_by_signals, note, print_json, takes_codes
from tui.cli.model_tables import adapter_fact_pairs, adapter_record, fact_pairs, lines, model_record, model_rows, table

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Json = Annotated[bool, typer.Option("--json", help=_("Print JSON, one object a line."))]


def _help(text: str) -> dict[str, Any]:
    """The text as a whole in both places: typer would cut it in the list of verbs."""
    return {"help": text, "short_help": text}


@app.callback(invoke_without_command=True)
def _models(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_all()


@app.command("list", **_help(_("List the models that can be used, their adapters, and those that can be pulled.")))
def list_all(as_json: Json = False) -> None:
    workspace = find_workspace()
    models = list_models(workspace)
    orphans = adapters_without_base(models, find_adapters(workspace))
    missing = [entry for entry in PACKAGED_MODELS if entry.name not in {model.name for model in models}]
    if as_json:
        for record in _records(models, orphans, missing):
            print_json(record)
        return
    for line in table(model_rows(models, orphans)):
        print(line)
    if missing and models:
        print()
    for entry in missing:
        print(_pullable(entry))


def _records(
    models: list[ModelInfo], orphans: list[AdapterInfo], missing: list[PackagedModel]
) -> Iterator[dict[str, Any]]:
    yield from (model_record(model) for model in models)
    yield from ({"kind": "adapter", **adapter_record(adapter)} for adapter in orphans)
    for entry in missing:
        yield {
            "kind": "pullable",
            "name": entry.name,
            "title": entry.title,
            "download_bytes": entry.download_bytes,
            "size_bytes": entry.model_bytes,
            "license": entry.license,
        }


def _pullable(entry: PackagedModel) -> str:
    name = "default" if entry is PACKAGED_MODELS[0] else entry.name
    told = _("not here yet: {title} ({download} to fetch, {size} on disk, licence {license}): {command}")
    return told.format(
        title=entry.title,
        download=size_text(entry.download_bytes),
        size=size_text(entry.model_bytes),
        license=entry.license,
        command=f"finetui models pull {name}" + (" --accept-license" if entry.needs_acceptance else ""),
    )


@app.command(**_help(_("Tell what is known about a model or an adapter: where it lies, its licence, its problems.")))
def info(
    name: Annotated[str, typer.Argument(help=_("A name, a folder, or default."))],
    as_json: Json = False,
) -> None:
    found = _model_or_adapter(name, find_workspace())
    if isinstance(found, ModelInfo):
        record, pairs = model_record(found), fact_pairs(found)
    else:
        record, pairs = {"kind": "adapter", **adapter_record(found)}, adapter_fact_pairs(found)
    if as_json:
        print_json(record)
    else:
        for line in lines(pairs):
            print(line)
    if found.problems:
        raise typer.Exit(1)


def _model_or_adapter(name: str, workspace: Workspace) -> ModelInfo | AdapterInfo:
    try:
        return resolve_model(name, workspace)
    except ModelNotFound as missing:
        try:
            return resolve_adapter(name, workspace)
        except ModelNotFound:
            raise missing from None


@app.command(**_help(_("Fetch a model: default, another of the list, or ORG/NAME from the Hugging Face hub.")))
def pull(
    name: Annotated[str, typer.Argument(help=_("What to fetch."))] = "default",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help=_("You have read the model's terms and accept them."))
    ] = False,
    as_json: Json = False,
) -> None:
    workspace = find_workspace()
    with cancelled_by_signals() as cancelled, _shown_progress() as show:
        model = pull_model(name, workspace, show, cancelled, accept_license=accept_license)
    if as_json:
        print_json(model_record(model))
    else:
        print(_("{name} is ready: {path}").format(name=inert_line(model.name), path=inert_line(str(model.path))))


@app.command(**_help(_("Delete a model or an adapter from the workspace's models/.")))
def remove(
    name: Annotated[str, typer.Argument(help=_("Its name."))],
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask."))] = False,
) -> None:
    workspace = find_workspace()
    if not yes and sys.stdin.isatty():
        typer.confirm(_("Delete {name} from the disk?").format(name=inert_line(name)), abort=True, err=True)
    print(_("removed {path}").format(path=inert_line(str(remove_model(name, workspace)))))


# --- progress ---------------------------------------------------------------------------------------------------


@contextmanager
def _shown_progress() -> Iterator[OnProgress]:
    if not takes_codes(sys.stderr):
        yield _PlainProgress().show
        return
    from rich.console import Console  # 60 ms with the bar, for this verb alone
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def show(step: PullProgress) -> None:
            if step.stage == "done":
                return
            if step.stage not in tasks:
                progress.console.print(step.text, markup=False, highlight=False)
                tasks[step.stage] = progress.add_task(step.stage)
            progress.update(tasks[step.stage], total=step.total_bytes or None, completed=step.done_bytes)

        yield show


class _PlainProgress:
    """For logs: a line for each stage, and one for each quarter of it."""

    def __init__(self) -> None:
        self._told: set[tuple[str, int]] = set()

    def show(self, step: PullProgress) -> None:
        quarter = int((step.fraction or 0.0) * 4)
        if step.stage != "done" and (step.stage, quarter) not in self._told:
            self._told.add((step.stage, quarter))
            note(f"{step.text} … {quarter * 25} %" if quarter else step.text)
