"""A verb whose options are declared in sections: its help is rendered from them, its command line read against them.

typer finds the verb and prints the help; the words after it go to `core.config.load` as they are, which tells all
mistakes at once where a flag parser would end at the first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import typer

from core.config.fields import FieldSpec, Section, describe
from core.config.load import Settings, load
from core.i18n import _

_WIDTH, _COLUMN = 78, 27
_METAVARS = {"text": "TEXT", "list": "TEXT", "integer": "N", "number": "X", "choice": "NAME", "switch": ""}


@dataclass(frozen=True, slots=True)
class OptionsVerb:
    """A verb over sections of options. `run` gets them filled in and returns the exit code."""

    run: Callable[[Settings], int]
    sections: tuple[type[Section], ...]
    about: str = ""
    """What stands between the verb's line and its options in the help."""
    words: str = "[FILE.yaml]"
    """What may stand without an option's name: a file of options, or what the option `names` gets."""

    instead: Callable[[Sequence[str]], OptionsVerb | None] = lambda _words: None
    """Which verb a command line means in truth, where it is not this one."""

    def register(self, root: typer.Typer, name: str, help_line: str) -> None:
        """Make the verb known to typer."""
        text = "\n\n".join(filter(None, (help_line, self.about, *help_groups(describe(*self.sections)))))

        @root.command(
            name,
            help=text,
            short_help=help_line,
            options_metavar=f"{self.words} [--OPTION VALUE]…",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        def _verb(context: typer.Context) -> int:
            verb = self.instead(context.args) or self
            return verb.run(load(verb.sections, arguments=context.args))


def help_groups(specs: Sequence[FieldSpec]) -> Iterator[str]:
    """A paragraph for each section: its title, and a row for each option."""
    for title, group in groupby(specs, key=lambda spec: spec.section):
        rows = [line for spec in group for line in _row(spec)]
        # \b keeps typer from filling the lines of the paragraph.
        yield "\n".join(("\b", f"{_(title)}:", *rows))


def _row(spec: FieldSpec) -> Iterator[str]:
    word = "true|false" if spec.kind == "switch" and spec.optional else _METAVARS[spec.kind]
    name = f"  --{spec.name} {spec.metavar or word}".rstrip()
    text = " ".join(filter(None, (_(spec.help), facts(spec))))
    lines = textwrap.wrap(text, _WIDTH - _COLUMN, break_on_hyphens=False)
    if len(name) > _COLUMN - 2:
        yield name
    else:
        yield name.ljust(_COLUMN) + (lines.pop(0) if lines else "")
    yield from (" " * _COLUMN + line for line in lines)


def facts(spec: FieldSpec) -> str:
    """What a value may be and what it is when nothing is said, in brackets; empty when there is nothing to tell."""
    default = _("default: {value}").format(value=spec.shown_default) if spec.shown_default else ""
    if spec.kind == "switch" and not spec.default:
        default = ""
    allowed = ", ".join(spec.choices) if spec.choices else str(spec.bounds)
    told = "; ".join(filter(None, (allowed, default)))
    return f"[{told}]" if told else ""
