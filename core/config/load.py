"""From raw values to sections: default < preset < file < typed, and every mistake told at once.

The work is split so that each part has one reason to fail: sources read text, this module decides which value counts
and whose name it is, pydantic checks it against the declaration, the section looks for conflicts. Problems of all of
them are collected into one `ConfigError`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from core.config.command_line import by_name, read_command_line
from core.config.fields import FieldSpec, Section, describe
from core.config.foreign import is_one_of, is_so_anyway, reason_against
from core.config.sources import Entry, Source, SourceOptions, Verb, read_file, read_preset, read_values
from core.errors import ConfigError, Problem, did_you_mean
from core.i18n import _

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from; `where` is its place, empty for a default."""

    source: Source = "default"
    where: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The sections of a verb, filled in, and the origin of every option."""

    sections: Mapping[type[Section], Section]
    origins: Mapping[str, Origin]

    def __getitem__(self, section: type[S]) -> S:
        return cast(S, self.sections[section])

    def values(self) -> dict[str, Any]:
        """Every option by its name."""
        return {
            info.alias or name: getattr(filled, name)
            for kind, filled in self.sections.items()
            for name, info in kind.model_fields.items()
        }


def load(
    sections: Sequence[type[Section]],
    *,
    arguments: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    file: Path | None = None,
) -> Settings:
    """Fill sections in.

    Args:
        sections: the options that are known. With `SourceOptions` among them, files and presets can be named too.
        arguments: the words of a command line.
        values: what a form or a caller says; counts as typed, over `arguments`.
        file: a file of options, besides one that is named in `arguments`.

    Raises:
        ConfigError: all problems, in the order of their sources.
    """
    specs = describe(*sections)
    line = read_command_line(arguments, specs)
    typed = [*line.entries, *read_values(values or {})]
    problems = list(line.problems)
    named = {entry.key: entry for entry in typed if entry.key in SourceOptions.model_fields}
    below = [entry for read in _sources(named, file, _verb(sections)) for entry in _collected(read, problems)]
    return fill(sections, [*below, *typed], problems)


def fill(sections: Sequence[type[Section]], entries: Sequence[Entry], problems: Sequence[Problem] = ()) -> Settings:
    """Fill sections in with values that were read already, the weakest first.

    Args:
        problems: what was found wrong with the sources; told before the others.

    Raises:
        ConfigError: all problems.
    """
    specs, found = describe(*sections), list(problems)
    chosen = _chosen(entries, by_name(specs), sections, found)
    filled = {kind: _filled(kind, chosen, found) for kind in sections}
    if found:
        raise ConfigError(found)
    origins = {
        spec.name: Origin(chosen[spec.name].source, chosen[spec.name].where) if spec.name in chosen else Origin()
        for spec in specs
    }
    return Settings({kind: section for kind, section in filled.items() if section is not None}, origins)


def _verb(sections: Sequence[type[Section]]) -> Verb:
    """Whose presets are meant."""
    return next((section.presets for section in sections if issubclass(section, SourceOptions)), SourceOptions.presets)


def _sources(named: Mapping[str, Entry], file: Path | None, verb: Verb) -> list[Callable[[], list[Entry]]]:
    """How to read what lies below the typed values, the weakest first."""
    readers: list[Callable[[], list[Entry]]] = []
    preset, config = named.get("preset"), named.get("config")
    if preset and isinstance(preset.raw, str):
        readers.append(lambda: read_preset(str(preset.raw), preset.where, verb))
    if file:
        readers.append(lambda: read_file(file))
    if config and isinstance(config.raw, str):
        readers.append(lambda: read_file(Path(str(config.raw))))
    return readers


def _collected(read: Callable[[], list[Entry]], problems: list[Problem]) -> list[Entry]:
    try:
        return read()
    except ConfigError as error:
        problems.extend(error.problems)
        return []


def _chosen(
    entries: Sequence[Entry],
    known: Mapping[str, FieldSpec],
    sections: Sequence[type[Section]],
    problems: list[Problem],
) -> dict[str, Entry]:
    """The entry that counts for each option: the last one."""
    chosen: dict[str, Entry] = {}
    for entry in entries:
        spec = known.get(entry.key)
        if spec is None:
            problems.extend(_unknown(entry, known, sections))
        elif (twin := chosen.get(spec.name)) is not None and twin.source == entry.source and twin.key != entry.key:
            what = _("is another name of {name}, which is given already: {place}")
            problems.append(
                Problem(entry.where, what.format(name=twin.key, place=twin.where), _("give one of the two"))
            )
        elif spec.name in SourceOptions.model_fields and entry.source != "typed":
            problems.append(Problem(entry.where, _("cannot stand in a file"), _("type it, with two dashes")))
        elif _says_nothing(entry, spec) and not spec.optional:
            default = _("leave the line out for its default, {value}").format(value=spec.shown_default or '""')
            problems.append(Problem(entry.where, _("has no value"), default))
        else:
            chosen[spec.name] = entry
    return chosen


def _says_nothing(entry: Entry, spec: FieldSpec) -> bool:
    """A null, or no text where no text means nothing: an empty list is a list, an empty text a text."""
    if spec.kind == "list":
        return False
    return entry.raw is None or (entry.raw == "" and (spec.optional or spec.kind != "text"))


def _unknown(entry: Entry, known: Mapping[str, FieldSpec], sections: Sequence[type[Section]]) -> Iterator[Problem]:
    if any(is_one_of(entry.key, section.anyway) for section in sections):
        return
    reason = reason_against(entry.key, [section.elsewhere for section in sections])
    if not reason:
        yield Problem(entry.where, _("is no option"), did_you_mean(entry.key, sorted(known)))
    elif not is_so_anyway(entry.key, entry.raw):
        yield Problem(entry.where, _("is no option here"), reason)


def _filled(kind: type[S], chosen: Mapping[str, Entry], problems: list[Problem]) -> S | None:
    specs = {spec.name: spec for spec in describe(kind)}
    entries = {name: chosen[name] for name in specs if name in chosen}
    try:
        section = kind.model_validate({name: _value(entry, specs[name]) for name, entry in entries.items()})
    except ValidationError as error:
        problems.extend(_problems(error, specs, entries, kind.instead))
        return None
    problems.extend(
        Problem(entries[found.where].where if found.where in entries else found.where, found.what, found.hint)
        for found in section.conflicts()
    )
    return section


def _value(entry: Entry, spec: FieldSpec) -> Any:
    """What pydantic is given: lists as lists, everything else as text, which it reads by the field's type."""
    if spec.kind != "list":
        return None if _says_nothing(entry, spec) else entry.raw
    texts = [entry.raw] if isinstance(entry.raw, str) else entry.raw or []
    return tuple(item for text in texts for item in _items(text, spec.separator) if item)


def _items(text: str, separator: str) -> list[str]:
    """The items in one text: a JSON list, since an item may hold anything; else parts between separators."""
    if text.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            items = json.loads(text)
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return items
    return [part.strip() for part in text.split(separator)] if separator else [text]


def _problems(
    error: ValidationError,
    specs: Mapping[str, FieldSpec],
    entries: Mapping[str, Entry],
    instead: Mapping[str, Mapping[str, str]],
) -> dict[Problem, None]:
    """One problem for each field, whatever number of rules its value breaks; a dict because it keeps the order."""
    found: dict[Problem, None] = {}
    for detail in error.errors(include_url=False, include_context=False):
        name = str(detail["loc"][0])
        spec, entry = specs[name], entries.get(name)
        if entry is None:
            found[Problem(f"--{name}", _("is missing"), _("expected {what}").format(what=spec.expects))] = None
            continue
        what = _("expected {what}, not {value}").format(what=spec.expects, value=_quoted(entry))
        hint = _(told) if (told := instead.get(name, {}).get(str(entry.raw).lower())) else ""
        if spec.kind == "choice" and not hint:
            hint = did_you_mean(str(entry.raw), spec.choices)
        found[Problem(entry.where, what, hint)] = None
    return found


def _quoted(entry: Entry) -> str:
    return repr(entry.raw) if len(repr(entry.raw)) <= 60 else repr(entry.raw)[:57] + "…'"
