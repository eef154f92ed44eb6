"""What verbs that start runs have in common: their own options, and what becomes of the run that was started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.fields import Section, Shown
from core.config.load import Settings
from core.config.save import as_yaml
from core.errors import UsageError
from core.i18n import _
from core.runs.catalog import run_name
from core.runs.launch_file import Caution
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace
from tui.cli.console import note, print_json


class StartOptions(Section):
    """What a command does with a run."""

    title: ClassVar[str] = "Command"

    detach: bool = False
    """Start it and return at once; `finetui runs follow` shows it."""

    plan: bool = False
    """Tell what it will be, and start nothing."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON, one object a line: the plan, the run's events, or with --detach the run."""

    show_config: bool = False
    """Print all options as a file, each with where its value comes from, and exit."""

    save_config: Annotated[str | None, Field(min_length=1), Shown("FILE")] = None
    """Write all options into a YAML file and exit; the verb with FILE behind it starts it."""


def config_is_all(settings: Settings, command: StartOptions, sections: Sequence[type[Section]], verb: str) -> bool:
    """Print or save the options where that is asked for; then nothing is started."""
    if command.show_config:
        print(as_yaml(settings, *sections), end="")
        return True
    if command.save_config is None:
        return False
    path = Path(command.save_config).expanduser()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(as_yaml(settings, *sections))
    except OSError as error:
        told = _("cannot write {path}: {reason}").format(path=inert_line(str(path)), reason=error.strerror)
        raise UsageError(told, _("name another file")) from error
    told = _("saved {path}; start it with: finetui {verb} {path}")
    print(told.format(path=inert_line(str(path)), verb=verb))
    return True


def follow_or_leave(run: RunDirectory, workspace: Workspace, command: StartOptions, cautions: Iterable[Caution]) -> int:
    """Show a run that was started until it ends, or with --detach say where it is; returns the exit code."""
    from tui.cli.following import follow, ways_on  # reads runs: help does without

    name = run_name(run, workspace)
    if not command.detach:
        if not command.json_records:
            note(_("run {name}; ctrl+c leaves it running").format(name=inert_line(name)))
        return follow(run, workspace, as_json=command.json_records)
    for caution in cautions:
        warn(caution)
    if command.json_records:
        print_json({"run": name, "path": str(run.path)})
        return 0
    print(_("started {name}").format(name=inert_line(name)))
    note(ways_on(run, workspace))
    return 0


def warn(caution: Caution) -> None:
    """Tell what was found before the start."""
    text = f"{caution.message} ({caution.hint})" if caution.hint else caution.message
    note(_("warning: {text}").format(text=inert_line(text)))
