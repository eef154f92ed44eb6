"""HTML that is escaped by construction: a text becomes markup only through `tag`, and there it is made harmless.

Text is made inert first, as for a terminal: control and bidirectional characters would be obeyed by a browser too.
"""

from __future__ import annotations

import html
from typing import TypeAlias

from core.untrusted import inert


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


Child: TypeAlias = str | Html | None
_VOID = {"meta", "br"}


def text(value: str) -> Html:
    """A text as markup that shows it."""
    return value if isinstance(value, Html) else Html(html.escape(inert(value)))


def tag(element: str, /, *children: Child, **attributes: object) -> Html:
    """An element. Of an attribute's name a trailing `_` is dropped and others become `-`; None leaves it out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(inert(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(text(child) for child in children if child is not None)
    return Html(f"<{element}{told}>" if element in _VOID else f"<{element}{told}>{inside}</{element}>")


def joined(*parts: Child) -> Html:
    """Pieces one after another."""
    return Html("".join(text(part) for part in parts if part is not None))


def table(head: list[Child], rows: list[list[Child]], class_: str = "") -> Html:
    """A table; the first cell of a row names it. Without a head where all its cells are empty."""
    top = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))) if any(head) else None
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    whole = tag("table", top, tag("tbody", *body), class_=class_ or None)
    return tag("div", whole, class_="wide")


def section(title: str, *children: Child, note: str = "", id_: str = "") -> Html:
    """A part of the page under its heading; nothing where there is nothing to show."""
    if not any(children):
        return Html("")
    head = tag("h2", title)
    return tag("section", head, tag("p", note, class_="muted") if note else None, *children, id=id_ or None)


def folded(title: Child, *children: Child) -> Html:
    """What opens at a click."""
    return tag("details", tag("summary", title), *children)
