"""A fenced block of code: a panel of its own colour with the language above and coloured words inside.

Code is coloured in chunks of some forty lines that end at a blank line before unindented text. Where they end
depends only on the text before, so finished chunks are drawn once and taken from a cache while an answer streams,
and the streamed panel equals the one drawn at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from rich.segment import Segment
from rich.style import Style

from core.untrusted import inert, inert_line
from tui.widgets.lines import Line, Span, fill, hang, wrap
from tui.widgets.palette import Palette

_CHUNK_LINES = 40
_LONGEST_CHUNK_LINES = 200
_LONGEST_COLOURED_LINE = 2_000
_INDENT = "  "


def code_panel(code: str, language: str, width: int, palette: Palette) -> list[Line]:
    """The panel, `width` cells wide; long lines wrap."""
    code = inert(code).expandtabs(4).removesuffix("\n")
    label = inert_line(language).strip()
    head = wrap([(label, palette.code_label)], width - len(_INDENT)) if label else []
    panel = _padded(head, width, palette.code_label)
    for chunk in _chunks(code):
        panel += _chunk_lines(chunk, label.lower(), width, palette)
    return panel


def _padded(lines: list[Line], width: int, style: Style) -> list[Line]:
    indent = Segment(_INDENT, style)
    return [fill(each, width, style) for each in hang(lines, indent, indent)]


def _chunks(code: str) -> Iterator[str]:
    chunk: list[str] = []
    for each in code.split("\n"):
        unindented = each[:1].strip() != ""
        ripe = len(chunk) >= _CHUNK_LINES and unindented and not chunk[-1].strip()
        if ripe or len(chunk) >= _LONGEST_CHUNK_LINES:
            yield "\n".join(chunk)
            chunk = []
        chunk.append(each)
    yield "\n".join(chunk)


@lru_cache(maxsize=256)
def _chunk_lines(chunk: str, language: str, width: int, palette: Palette) -> list[Line]:
    lines: list[Line] = []
    for spans in _coloured(chunk, language, palette):
        lines += wrap(spans, width - len(_INDENT))
    return _padded(lines, width, palette.code)


def _coloured(chunk: str, language: str, palette: Palette) -> list[list[Span]]:
    """The lines of the chunk as spans, coloured where pygments knows the language."""
    sources = chunk.split("\n")
    lexer = _lexer(language) if max(map(len, sources)) <= _LONGEST_COLOURED_LINE else None
    if lexer is None:
        return [[(source, palette.code)] for source in sources]
    lines: list[list[Span]] = [[]]
    for kind, text in lexer.get_tokens(chunk):
        style = _style(kind, palette)
        first, *rest = text.split("\n")
        lines[-1].append((first, style))
        lines += [[(part, style)] for part in rest]
    # The lexer ends its output with a newline of its own.
    return lines[: len(sources)]


@lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    """The lexer of a language, or None when there is none of that name."""
    # 10 ms, and the languages' own modules on top: paid at the first code block, not at the start.
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    words = language.split()
    try:
        return get_lexer_by_name(words[0], stripnl=False) if words else None
    except ClassNotFound:
        return None


_STYLES = {
    "Keyword": "keyword",
    "Operator.Word": "keyword",
    "Literal.String": "string",
    "Literal.Number": "number",
    "Comment": "comment",
    "Name.Function": "function",
    "Name.Class": "kind",
    "Name.Builtin": "function",
    "Name.Decorator": "kind",
    "Name.Tag": "keyword",
    "Name.Attribute": "function",
    "Keyword.Type": "kind",
}


def _style(kind: Any, palette: Palette) -> Style:
    """The style of a pygments token type: the one of its nearest named ancestor."""
    while kind:
        name = _STYLES.get(".".join(kind))
        if name:
            return getattr(palette, name)  # type: ignore[no-any-return]
        kind = kind.parent
    return palette.code
