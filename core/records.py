"""Frozen dataclasses as JSON records and back, with every mistake named by its place.

One codec for everything that crosses a process or a restart: the worker's messages, conversation files. A record
carries its class as `type`; fields at their default are left out; unknown fields are kept out of the object without
an error, so that a newer writer can be read. Types understood: str, int, float, bool, Literal, tuples of one type,
dictionaries with string keys, nested dataclasses, `Any`, and unions of these with None.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from core.errors import RecordError
from core.jsonl import Json

T = TypeVar("T")
_Reader = Callable[[Any, str], Any]
_LARGEST_FLOAT = int(sys.float_info.max)
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def registry(*classes: type[T]) -> Mapping[str, type[T]]:
    """Classes by the name that stands in a record's `type`: the class name in snake case."""
    return {type_name(cls): cls for cls in classes}


def type_name(cls: type) -> str:
    """`LoadAdapter` → `load_adapter`."""
    return _snake_case(cls.__name__)


@functools.cache
def _snake_case(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


def to_record(value: Any) -> Json:
    """The record of a frozen dataclass, its `type` first."""
    return {"type": type_name(type(value)), **_plain_fields(value)}


def _plain_fields(value: Any) -> Json:
    return {
        field.name: _plain(item)
        for field in dataclasses.fields(value)
        if (item := getattr(value, field.name)) != field.default or type(item) is not type(field.default)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def from_record(classes: Mapping[str, type[T]], record: object) -> T:
    """The object of a record.

    Raises:
        RecordError: the record is no object, its `type` is unknown, or a field is missing or of another type.
    """
    if not isinstance(record, dict):
        raise RecordError("expected a JSON object")
    name = record.get("type")
    cls = classes.get(name) if isinstance(name, str) else None
    if cls is None:
        raise RecordError(f"unknown type {name!r}", f"known types: {', '.join(classes)}")
    return typing.cast(T, _reader(typing.cast(Any, cls))(record, ""))


@functools.cache
def _reader(kind: Any) -> _Reader:
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast(type, kind))
    if kind in (Any, object):
        return lambda value, _: value
    if origin is Literal:
        return _choice_reader(args)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (_reader(arg) for arg in args if arg is not type(None))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is tuple:
        return _tuple_reader(_reader(args[0]))
    if origin in (dict, Mapping) or kind is dict:
        return _mapping_reader(_reader(args[1]) if args else _reader(Any))
    return _scalar_reader(kind)


def _dataclass_reader(cls: type) -> _Reader:
    hints = get_type_hints(cls)
    fields = [(field.name, _reader(hints[field.name])) for field in dataclasses.fields(cls)]
    required = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise RecordError(f"{where or 'record'}: expected an object")
        if not required <= value.keys():
            missing = next(name for name, _ in fields if name in required - value.keys())
            raise RecordError(f"{_join(where, missing)}: missing")
        above = f"{where}." if where else ""
        return cls(**{name: reader(value[name], above + name) for name, reader in fields if name in value})

    return read


def _choice_reader(choices: tuple[Any, ...]) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if value not in choices:
            raise RecordError(f"{where}: {value!r} is none of {', '.join(map(repr, choices))}")
        return value

    return read


def _tuple_reader(inner: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise RecordError(f"{where}: expected a list")
        return tuple(inner(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def _mapping_reader(inner: _Reader) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise RecordError(f"{where}: expected an object")
        return {key: inner(item, _join(where, key)) for key, item in value.items()}

    return read


def _scalar_reader(kind: Any) -> _Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) is kind and (kind is not float or math.isfinite(value)):
            return value
        if kind is float and type(value) is int and abs(value) < _LARGEST_FLOAT:
            return float(value)
        raise RecordError(f"{where}: expected {_NAMES[kind]}, not {value!r:.80}")

    return read


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
