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
Verb: TypeAlias = Literal["chat", "train", "eval"]

PRESETS = Path(__file__).parent / "presets"
_FIRST = ("quick_lora", "exact")


class SourceOptions(Section):
    """Where the other options may stand."""

    title: ClassVar[str] = "Options from files"
    presets: ClassVar[Verb] = "chat"
    """Whose presets are meant: those of another verb hold other options."""

    config: Annotated[str | None, Shown("FILE")] = None
    """A YAML or JSON file of options; it may also stand alone, without `--config`. What is typed wins over it."""

    preset: Annotated[str | None, Shown("NAME")] = None
    """Options that come with finetui: precise, balanced or creative. A file and what is typed win over them."""


class TrainingSourceOptions(SourceOptions):
    """Where the other options of a training may stand."""

    presets: ClassVar[Verb] = "train"

    preset: Annotated[str | None, Shown("NAME")] = None
    """Options that come with finetui: quick_lora, quick_dpo, persona_sft, persona_rm, persona_ppo, telecom_lora,
    intro_lora, intro_ptuning or adgen_ptuning. A file and what is typed win over them."""


class EvaluationSourceOptions(SourceOptions):
    """Where the other options of an evaluation may stand."""

    presets: ClassVar[Verb] = "eval"

    preset: Annotated[str | None, Shown("NAME")] = None
    """Options that come with finetui: exact, sampled, telecom or introduction. A file and what is typed win over
    them."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Options that come with finetui under a name."""

    name: str
    about: str
    """What they are for: the file's first line."""
    path: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as it was written."""

    key: str
    raw: Raw
    source: Source
    where: str
    """The place, for people: `--lora-rank`, `lora.yaml:12: lora_rank`."""


def list_presets(verb: Verb) -> tuple[Preset, ...]:
    """The bundled presets of a verb, the one to begin with before the others."""
    paths = sorted((PRESETS / verb).glob("*.yaml"))
    named = [Preset(path.stem, _(_first_line(path)), path) for path in paths]
    return tuple(sorted(named, key=lambda preset: preset.name not in _FIRST))


def read_preset(name: str, where: str, verb: Verb = "chat") -> list[Entry]:
    """The options of a bundled preset; `where` is the place that names it.

    Raises:
        ConfigError: there is none of that name.
    """
    known = {preset.name: preset.path for preset in list_presets(verb)}
    if name not in known:
        hint = did_you_mean(name, known) or _("there are: {names}").format(names=", ".join(known))
        raise ConfigError([Problem(where, _("there is no preset {name!r}").format(name=name), hint)])
    return _entries(known[name], "preset", f"{name}.yaml")


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


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def _entries(path: Path, source: Source, shown: str) -> list[Entry]:
    return [Entry(key, raw, source, f"{shown}:{line}: {key}") for key, raw, line in read_pairs(path, shown)]
