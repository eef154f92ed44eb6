"""A file of options, YAML or JSON: flat keys, each with its line, each value the text it was written as.

YAML is only composed, never constructed: its opinions on what is a number (`5e-5` is none, `010` is 8, `no` is false)
would differ from the command line's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from core.errors import ConfigError, Problem
from core.i18n import _

Raw: TypeAlias = str | list[str] | None
Pair: TypeAlias = tuple[str, Raw, int]

_NULL = "tag:yaml.org,2002:null"


class _Nested(ValueError):
    """A value that is no single value and no list of them."""


def read_pairs(path: Path, shown: str) -> list[Pair]:
    """(key, value, line from 1) of every option in a file.

    Args:
        path: the file; `.json` is read as JSON, everything else as YAML.
        shown: how error messages name it.

    Raises:
        ConfigError: it cannot be read, or is no flat mapping; all of its mistakes.
    """
    text = read_text(path, shown)
    return flat_pairs(_json_items(text, shown) if path.suffix == ".json" else yaml_items(text, shown), shown)


def flat_pairs(found: Iterable[tuple[str, Any, int]], shown: str) -> list[Pair]:
    """Options of the items of a mapping.

    Raises:
        ConfigError: some stand twice, or are groups.
    """
    pairs: list[Pair] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for key, value, line in found:
        where = f"{shown}:{line}: {key}"
        if key in lines:
            problems.append(Problem(where, _("stands already in line {line}").format(line=lines[key])))
        lines[key] = line
        try:
            pairs.append((key, _raw(value), line))
        except _Nested:
            problems.append(Problem(where, _("is a group"), _("options stand flat, one `name: value` a line")))
    if problems:
        raise ConfigError(problems)
    return pairs


def read_text(path: Path, shown: str) -> str:
    """Raises:
    ConfigError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        what = _("cannot be read: {error}").format(error=error.strerror)
        raise ConfigError([Problem(shown, what)]) from error
    except ValueError as error:
        raise ConfigError([Problem(shown, _("is no UTF-8 text"), _("save it as UTF-8"))]) from error


def yaml_items(text: str, shown: str) -> list[tuple[str, Any, int]]:
    """(key, node, line) of a mapping in YAML; a node of a group goes through `node_items`.

    Raises:
        ConfigError: it is no YAML, or no mapping.
    """
    import yaml  # 30 ms, only where there is a file to read

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        place = f"{shown}:{error.problem_mark.line + 1}" if error.problem_mark else shown
        raise ConfigError([Problem(place, _("is no YAML: {error}").format(error=error.problem))]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([Problem(shown, _("is no YAML: {error}").format(error=error))]) from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError([_no_mapping(shown)])
    return node_items(root)


def node_items(node: Any) -> list[tuple[str, Any, int]]:
    """(key, node, line) of a node that is a mapping."""
    return [(str(key.value), value, key.start_mark.line + 1) for key, value in node.value]


def _json_items(text: str, shown: str) -> list[tuple[str, Any, int]]:
    def first_line(key: str) -> int:
        found = re.search(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text)
        return text.count("\n", 0, found.start()) + 1 if found else 1

    try:
        # Objects as tuples of pairs: a key that stands twice must not be lost.
        root = json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        problem = Problem(f"{shown}:{error.lineno}", _("is no JSON: {error}").format(error=error.msg))
        raise ConfigError([problem]) from error
    except RecursionError as error:
        raise ConfigError([Problem(shown, _("is no JSON: {error}").format(error=error))]) from error
    if not isinstance(root, tuple):
        raise ConfigError([_no_mapping(shown)])
    return [(key, value, first_line(key)) for key, value in root]


def _no_mapping(shown: str) -> Problem:
    return Problem(shown, _("holds no options"), _("write one `name: value` a line"))


def _raw(value: Any) -> Raw:
    """The text of a value: a node of composed YAML, or what `json` makes of it."""
    match getattr(value, "id", None):
        case "scalar":
            return None if value.tag == _NULL else str(value.value)
        case "sequence":
            return [_item(item) for item in value.value]
    match value:
        case list():
            return [_item(item) for item in value]
        case bool():
            return "true" if value else "false"
        case None | str():
            return value
        case _:
            raise _Nested


def _item(value: Any) -> str:
    raw = _raw(value)
    if not isinstance(raw, str):
        raise _Nested
    return raw
