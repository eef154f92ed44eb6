"""Translated texts: every text that a person reads goes through `_`.

Catalogues live in `locale/<language>/LC_MESSAGES/finetui.mo` beside this file; a language without one gets the
English text of the source. The language is the one of the environment (LANGUAGE, LC_ALL, LC_MESSAGES, LANG).
"""

from __future__ import annotations

import gettext
from pathlib import Path

_catalogue = gettext.translation("finetui", Path(__file__).parent / "locale", fallback=True)


def _(text: str) -> str:
    """The text in the user's language."""
    return _catalogue.gettext(text)


def plural(one: str, many: str, count: int) -> str:
    """The form of a text that fits a count, in the user's language; `{count}` in it is filled in."""
    return _catalogue.ngettext(one, many, count).format(count=count)
