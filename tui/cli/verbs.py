"""The verbs by name. Only the chosen one is imported; the others lend their line to the help.

A target is a Typer (a verb with verbs of its own), an `OptionsVerb` (its options come from declarations) or a plain
function that typer reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from core.errors import UsageError, did_you_mean
from core.i18n import _
from tui.cli.console import note
from tui.cli.importing import resolve


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb is implemented, and its line in the help."""

    target: str
    help: str


VERBS = {
    "chat": Verb("tui.cli.chat:chat", "Talk with a model and its adapters, line by line."),
    "train": Verb("tui.cli.train:train", "Train a model, in a run of its own that goes on when you leave."),
    "eval": Verb("tui.cli.evaluate:evaluate", "Answer test sets, and measure the answers, in a run of its own."),
    "pipeline": Verb("tui.cli.pipeline:pipeline", "Make trainings and evaluations of a file, one after another."),
    "score": Verb("tui.cli.score:score", "Measure the answers of a file again, without a model."),
    "report": Verb("tui.cli.report:report_verb", "Show the reports of evaluations, and one of them with its rows."),
    "compare": Verb("tui.cli.compare:compare_verb", "Compare reports of one test set, row against row."),
    "runs": Verb("tui.cli.runs:app", "List, follow, stop and resume runs."),
    "models": Verb("tui.cli.models:app", "List, pull and remove models."),
    "data": Verb("tui.cli.data:app", "List, check, split and enter data sets."),
    "export": Verb("tui.cli.export:export", "Merge an adapter into its model, and prove it."),
    "doctor": Verb("tui.cli.doctor:doctor", "Tell what this machine has, and what is missing."),
    "init": Verb("tui.cli.init:init", "Make a workspace."),
}


def run_verb(words: Sequence[str]) -> int:
    """Run a command line that is not empty; returns its exit code.

    Raises:
        UsageError: there is no such verb, or the verb cannot be called like that.
    """
    words = ["--help" if word == "-h" else word for word in words]
    name = "" if words[0].startswith("-") else words[0]
    if name and name not in VERBS:
        hint = did_you_mean(name, VERBS) or _("there are: {names}").format(names=", ".join(VERBS))
        raise UsageError(_("there is no verb {name!r}").format(name=name), hint)
    command = typer.main.get_command(_root(name))
    try:
        code = command.main(args=words, prog_name="finetui", standalone_mode=False)
    except typer.TyperException as error:
        verb = f"finetui {name}".rstrip()
        raise UsageError(error.format_message().rstrip("."), _("see: {verb} --help").format(verb=verb)) from error
    except typer.Abort:
        note("")
        return 130
    return code if isinstance(code, int) else 0


def _root(chosen: str) -> typer.Typer:
    # Without Rich: its import costs as much as the rest of --help, and help is read in pipes too.
    root = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    # Only what is asked for: typer imports pydantic (70 ms) for options with a value, and for switches not given.
    @root.callback(
        help=_("A workbench for people who fine-tune language models. Without a verb, the app."),
        epilog=_("--workspace DIR, before or after the verb, names the folder to work in."),
        add_help_option=not chosen,
    )
    def _finetui(
        version: bool = typer.Option(False, "--version", is_eager=True, callback=_show_version, help=_("Its version.")),
    ) -> None: ...

    for name, verb in VERBS.items():
        target = resolve(verb.target) if name == chosen else _unused
        _add(root, name, target, _(verb.help))
    return root


def _add(root: typer.Typer, name: str, target: Any, help_line: str) -> None:
    if isinstance(target, typer.Typer):
        root.add_typer(target, name=name, help=help_line)
    elif hasattr(target, "register"):
        target.register(root, name, help_line)
    else:
        root.command(name, help=target.__doc__ or help_line, short_help=help_line)(target)


def _unused() -> None: ...


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 35 ms, for this option alone

        typer.echo(f"finetui {version('finetui')}")
        raise typer.Exit
