"""`finetui train`: a training, started and followed. It goes on when this command ends, however it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.fields import Section, Shown
from core.config.load import Settings
from core.config.save import as_yaml
from core.config.sources import TrainingSourceOptions
from core.config.training import TRAINING
from core.errors import UsageError
from core.i18n import _
from core.runs.catalog import run_name
from core.runs.launch_file import Caution
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.console import note, print_json
from tui.cli.options import OptionsVerb


class TrainOptions(Section):
    """What this command does with a training."""

    title: ClassVar[str] = "Command"

    detach: bool = False
    """Start it and return at once; `finetui runs follow` shows it."""

    plan: bool = False
    """Tell what the training will be, after a try of its longest batch, and start nothing."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON, one object a line: the plan, the run's events, or with --detach the run."""

    show_config: bool = False
    """Print all options as a file, each with where its value comes from, and exit."""

    save_config: Annotated[str | None, Field(min_length=1), Shown("FILE")] = None
    """Write all options into a YAML file and exit; `finetui train FILE` starts it."""


def _train(settings: Settings) -> int:
    command = settings[TrainOptions]
    if command.show_config:
        print(as_yaml(settings, *TRAINING), end="")
        return 0
    if command.save_config is not None:
        return _save(settings, Path(command.save_config).expanduser())
    from core.launch.prepare import prepare, start  # the model catalogue, the data: help does without

    workspace = find_workspace()
    prepared = prepare(settings, workspace)
    if command.plan:
        from tui.cli.planning import show_plan

        return show_plan(prepared, as_json=command.json_records)
    run = start(prepared)
    name = run_name(run, workspace)
    if command.detach:
        for caution in prepared.cautions:
            _warn(caution)
        if command.json_records:
            print_json({"run": name, "path": str(run.path)})
            return 0
        from tui.cli.following import ways_on

        print(_("started {name}").format(name=inert_line(name)))
        note(ways_on(run, workspace))
        return 0
    from tui.cli.following import follow

    if not command.json_records:
        note(_("run {name}; ctrl+c leaves it running").format(name=inert_line(name)))
    return follow(run, workspace, as_json=command.json_records)


def _warn(caution: Caution) -> None:
    text = f"{caution.message} ({caution.hint})" if caution.hint else caution.message
    note(_("warning: {text}").format(text=inert_line(text)))


def _save(settings: Settings, path: Path) -> int:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(as_yaml(settings, *TRAINING))
    except OSError as error:
        told = _("cannot write {path}: {reason}").format(path=inert_line(str(path)), reason=error.strerror)
        raise UsageError(told, _("name another file")) from error
    print(_("saved {path}; start it with: finetui train {path}").format(path=inert_line(str(path))))
    return 0


train = OptionsVerb(
    _train,
    (*TRAINING, TrainOptions, TrainingSourceOptions),
    _("The run goes on when you leave: ctrl+c, a lost connection and the end of this command do not touch it."),
)
