"""What stands in one cell of a row."""

from __future__ import annotations

from core.i18n import _


def kind_of(value: object) -> str:
    """What a JSON value is, for people."""
    match value:
        case None:
            return _("null")
        case bool():
            return _("true or false")
        case int() | float():
            return _("a number")
        case str():
            return _("a text")
        case list():
            return _("a list")
        case _:
            return _("an object")


def half_character(text: str) -> bool:
    """Whether a surrogate without its partner is in a text: JSON can say it, no encoding can."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
