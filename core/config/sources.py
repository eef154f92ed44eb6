"""Where values come from: as raw text, each with its place.

Whatever the source, a value reaches its field as the text that one would type (or a list of texts, or None for a
null), so that `--val_size 1` and `val_size: 1` can never mean two things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from core.config.fields import Section, Shown
from core.config.files import Raw, read_pairs
from core.errors import ConfigError, Problem, did_you_mean
from core.i18n import _

Source: TypeAlias = Literal["default", "preset", "file", "typed"]

PRESETS = Path(__file__).parent / "presets"


class SourceOptions(Section):
    """Where the other options may stand."""

    title: ClassVar[str] = "Options from files"

    config: Annotated[str | None, Shown("FILE")] = None
    """A YAML or JSON file of options; it may also stand alone, without `--config`. What is typed wins over it."""

    preset: Annotated[str | None, Shown("NAME")] = None
    """Options that come with finetui: precise, balanced or creative. A file and what is typed win over them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as it was written."""

    key: str
    raw: Raw
    source: Source
    where: str
    """The place, for people: `--lora-rank`, `lora.yaml:12: lora_rank`."""


def read_preset(name: str, where: str) -> list[Entry]:
    """The options of a bundled preset; `where` is the place that names it.

    Raises:
        ConfigError: there is none of that name.
    """
    known = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in known:
        hint = did_you_mean(name, known) or _("there are: {names}").format(names=", ".join(known))
        raise ConfigError([Problem(where, _("there is no preset {name!r}").format(name=name), hint)])
    return _entries(PRESETS / f"{name}.yaml", "preset", f"{name}.yaml")


def read_file(path: Path) -> list[Entry]:
    """The options of a YAML or JSON file, in its order.

    Raises:
        ConfigError: it cannot be read, or is no flat mapping of options; all of its mistakes.
    """
    return _entries(path, "file", str(path))


def read_values(values: Mapping[str, object]) -> list[Entry]:
    """Values that a form or a caller gives."""
    return [Entry(key, as_raw(value), "typed", key) for key, value in values.items()]


def as_raw(value: object) -> Raw:
    """A Python value as one would type it."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case Sequence():
            return [str(item) for item in value]
        case _:
            return str(value)


def _entries(path: Path, source: Source, shown: str) -> list[Entry]:
    return [Entry(key, raw, source, f"{shown}:{line}: {key}") for key, raw, line in read_pairs(path, shown)]
