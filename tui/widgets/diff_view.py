"""Where an answer leaves its reference, drawn: in two columns or in one text.

Colour is never alone. In columns what is missing is struck out and what is too much is underlined; in one text, where
neither would tell the two apart on every terminal, they stand in brackets with their sign: `补卡[−方式−][+费用+]_7`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from core.i18n import _
from core.report.difference import Piece
from core.untrusted import inert
from tui.widgets.content_layout import beside, column_width, wrapped

REMOVED = "bold strike $text-error"
ADDED = "bold underline $text-warning"
_SPACE, _NEWLINE = "·", "⏎"


def reference_content(pieces: Iterable[Piece]) -> Content:
    """The reference, with what the answer lacks struck out."""
    return Content("").join(_plain(piece, REMOVED) for piece in pieces if piece.kind != "added")


def answer_content(pieces: Iterable[Piece]) -> Content:
    """The answer, with what the reference does not have underlined."""
    return Content("").join(_plain(piece, ADDED) for piece in pieces if piece.kind != "removed")


def _plain(piece: Piece, style: str) -> Content:
    return Content(inert(piece.text)) if piece.kind == "same" else Content.styled(_seen(piece.text), style)


def one_text(pieces: Iterable[Piece]) -> Content:
    """Both in one: what is missing and what is too much, each in its brackets."""
    return Content("").join(map(_signed, pieces))


def _signed(piece: Piece) -> Content:
    match piece.kind:
        case "same":
            return Content(inert(piece.text))
        case "removed":
            return Content.styled(f"[−{_seen(piece.text)}−]", REMOVED)
        case _added:
            return Content.styled(f"[+{_seen(piece.text)}+]", ADDED)


def _seen(text: str) -> str:
    """A changed piece; one of nothing but blanks by stand-ins for them."""
    shown = inert(text)
    return shown if shown.strip() else shown.replace(" ", _SPACE).replace("\n", f"{_NEWLINE}\n")


def side_by_side(pieces: Sequence[Piece], width: int) -> list[Content]:
    """Reference and answer in two columns that fill `width` cells."""
    room = column_width(width)
    return beside(wrapped(reference_content(pieces), room), wrapped(answer_content(pieces), room), room)


def legend() -> Content:
    """What the marks mean."""
    return Content.assemble(
        (_("struck out"), "strike $text-error"),
        (_(": the answer lacks it"), "$muted"),
        "  ",
        (_("underlined"), "underline $text-warning"),
        (_(": the reference does not have it"), "$muted"),
    )
