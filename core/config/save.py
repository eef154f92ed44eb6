"""Options as a file that reads back as the same: complete, each value with where it comes from.

Texts are written so that neither YAML's reading of plain words (`no`, `1e3`) nor a control character can change them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from core.config.fields import Section, shown
from core.config.load import Settings

_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_/][\w./@+-]*", re.ASCII | re.IGNORECASE)


def as_yaml(settings: Settings, *sections: type[Section]) -> str:
    """Every option of these sections; the origin stands behind the value."""
    return "\n".join(line for section in sections for line in _lines(settings, section)) + "\n"


def _lines(settings: Settings, section: type[Section]) -> Iterator[str]:
    values = settings.values()
    yield f"### {section.title}"
    for name in (info.alias or name for name, info in section.model_fields.items()):
        origin = settings.origins[name]
        yield f"{name}: {_yaml(values[name])}  # {_quiet(origin.where) or origin.source}"


def _yaml(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return value if _PLAIN.fullmatch(value) else _quoted(value)
        case tuple():
            return f"[{', '.join(map(_quoted, value))}]"
        case _:
            return shown(value)


def _quoted(text: str) -> str:
    """A double-quoted scalar: JSON's escapes, and YAML's for what YAML would refuse to read."""
    return _quiet(json.dumps(text, ensure_ascii=False))


def _quiet(text: str) -> str:
    return "".join(character if character.isprintable() else f"\\U{ord(character):08X}" for character in text)
