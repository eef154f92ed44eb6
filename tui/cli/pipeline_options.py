"""The words behind `finetui pipeline`: what is meant for the command, and what for the steps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from core.config.command_line import by_name, read_command_line
from core.config.evaluation import EVALUATION
from core.config.fields import Also, FieldSpec, Section, Shown, SplitAt, describe
from core.config.load import fill
from core.config.sources import Entry
from core.config.training import TRAINING
from core.errors import did_you_mean

_OF_A_STEP = re.compile(r"--([A-Za-z0-9][\w-]*)\.([\w-]+)(?:=.*)?", re.ASCII | re.DOTALL)


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

    keep: Annotated[tuple[str, ...], SplitAt(","), Shown("STEP,…")] = ()
    """Take the runs of these steps as they are, though files that they read have changed since."""

    yes: bool = False
    """Delete what --restart makes anew without asking."""

    stop: bool = False
    """Have the pipeline end: its step saves and ends, and no other begins."""

    detach: bool = False
    """Start it and return at once; the same command shows it."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print JSON, one object a line: the plan, or what the pipeline and its steps tell."""


def read_words(words: Sequence[str]) -> tuple[PipelineOptions, list[Entry]]:
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
