"""An option, declared once.

A *section* is a frozen pydantic model: the field's name, type, default and bounds are its code, its help is the
docstring under it. `describe` turns a section into `FieldSpec`s, plain records that know no pydantic: command-line
help, forms, error texts and the reference page are renderings of them.

An option whose name pydantic keeps for itself (`json`) is a field of another name with an `alias`. What pydantic has no
word for stands in `Annotated`: `Also` (other names that people type), `SplitAt` (lists written
as one text), `Shown` (the word that stands for the value in help).
"""

from __future__ import annotations

import functools
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from core.errors import Problem
from core.i18n import _

Kind: TypeAlias = Literal["text", "integer", "number", "switch", "choice", "list"]
_KINDS: dict[Any, Kind] = {str: "text", int: "integer", float: "number", bool: "switch"}


@dataclass(frozen=True, slots=True)
class Also:
    """Other names of an option: those of the tools that people come from."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class SplitAt:
    """A list may be written as one text with this between its items."""

    separator: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands for the value in help: `FOLDER`, `SECONDS`."""

    metavar: str


class Section(BaseModel):
    """A group of options."""

    # Validators are built at the first value, not at import: help texts and forms read the declarations alone.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, allow_inf_nan=False
    )
    title: ClassVar[str]
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Options of such a group that other tools have and finetui does not: the reasons (`core.config.foreign`)."""
    anyway: ClassVar[tuple[str, ...]] = ()
    """Of those, the ones that could change nothing here, whatever their value: they are taken."""
    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Values of choices that other tools have and finetui does not, by option: what to give in their place."""

    def conflicts(self) -> Iterator[Problem]:
        """What is wrong between fields that are each right; `Problem.where` is the field's name."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a number has to lie; None is no bound, `open_` ends are not themselves allowed."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        """`from 0 to 1`, `above 0, up to 1`, or nothing."""
        low, high = _plain(self.low), _plain(self.high)
        if self.low is not None and self.high is not None and not self.open_low and not self.open_high:
            return _("from {low} to {high}").format(low=low, high=high)
        said = []
        if self.low is not None:
            said.append((_("above {bound}") if self.open_low else _("from {bound} up")).format(bound=low))
        if self.high is not None:
            said.append((_("below {bound}") if self.open_high else _("up to {bound}")).format(bound=high))
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One option, as every front end sees it."""

    name: str
    section: str
    """The title of its group."""
    kind: Kind
    default: Any
    """None for an option that may be left open; a required one has no default."""
    help: str
    required: bool = False
    optional: bool = False
    """Whether None is a value of its own: not said, left to the model."""
    choices: tuple[str, ...] = ()
    bounds: Bounds = Bounds()
    aliases: tuple[str, ...] = ()
    separator: str = ""
    metavar: str = ""

    @property
    def expects(self) -> str:
        """What a value has to be, as the end of "expected …"."""
        match self.kind:
            case "choice":
                return _("one of {choices}").format(choices=", ".join(self.choices))
            case "switch":
                return _("true or false")
            case "integer":
                return f"{_('a whole number')} {self.bounds}".rstrip()
            case "number":
                return f"{_('a number')} {self.bounds}".rstrip()
            case "list" | "text":
                return _("a text")

    @property
    def shown_default(self) -> str:
        """The default as one would type it; empty where there is none to speak of."""
        return shown(self.default)


def shown(value: Any) -> str:
    """A value as one would type it, which the loader reads back as the same; nothing for None and empty lists."""
    match value:
        case None | ():
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case (str(item),) if not item.startswith("[") and "," not in item:
            return item
        case tuple():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def describe(*sections: type[Section]) -> list[FieldSpec]:
    """The options of some sections, in the order of their declaration."""
    return [spec for section in sections for spec in _specs(section)]


@functools.cache
def _specs(section: type[Section]) -> tuple[FieldSpec, ...]:
    """A declaration never changes, and a pipeline asks for it hundreds of times."""
    return tuple(_field_spec(section.title, info.alias or name, info) for name, info in section.model_fields.items())


def _field_spec(section: str, name: str, info: FieldInfo) -> FieldSpec:
    kind, choices, optional = _kind(info.annotation, name)
    extras = {type(item): item for item in info.metadata}
    return FieldSpec(
        name=name,
        section=section,
        kind=kind,
        default=None if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
        help=inspect.cleandoc(info.description or "").replace("\n", " "),
        required=info.is_required(),
        optional=optional,
        choices=choices,
        bounds=_bounds(info),
        aliases=extras[Also].names if Also in extras else (),
        separator=extras[SplitAt].separator if SplitAt in extras else "",
        metavar=extras[Shown].metavar if Shown in extras else "",
    )


def _kind(annotation: Any, name: str) -> tuple[Kind, tuple[str, ...], bool]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) and type(None) in args and len(args) == 2:
        kind, choices, _optional = _kind(next(arg for arg in args if arg is not type(None)), name)
        return kind, choices, True
    if origin is Literal and all(isinstance(arg, str) for arg in args):
        return "choice", args, False
    if annotation == tuple[str, ...]:
        return "list", (), False
    if annotation not in _KINDS:
        raise TypeError(f"{name}: no option can be of type {annotation}")
    return _KINDS[annotation], (), False


def _bounds(info: FieldInfo) -> Bounds:
    words = ("ge", "gt", "le", "lt")
    found = {word: getattr(item, word) for item in info.metadata for word in words if hasattr(item, word)}
    return Bounds(
        low=found.get("gt", found.get("ge")),
        high=found.get("lt", found.get("le")),
        open_low="gt" in found,
        open_high="lt" in found,
    )


def _plain(bound: float | None) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)
