"""What the address of a model server has to look like. Apart from the options, so that a chat needs no pydantic."""

from __future__ import annotations

from urllib.parse import urlsplit

from core.i18n import _

SCHEMES = ("http://", "https://")


def address_problem(address: str) -> str:
    """Why an address cannot be taken, or nothing."""
    if not address.startswith(SCHEMES):
        return _("begins with neither http:// nor https://")
    if not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        return _("holds blanks or letters that no address has")
    try:
        parts = urlsplit(address)
        _port = parts.port
    except ValueError as error:
        return str(error)
    if not parts.hostname:
        return _("names no host")
    if "@" in parts.netloc:
        return _("holds a name or a password, which would be written down; a key belongs into a variable")
    if "?" in address or "#" in address:
        return _("has a part behind ? or #")
    return ""
