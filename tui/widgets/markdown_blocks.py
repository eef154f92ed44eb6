"""Markdown blocks drawn for a width: paragraphs, headings, lists, quotes, tables, code, rules.

Works on the tokens of markdown-it. HTML is text, an ordered list shows the numbers that the model wrote, and two
blocks have a blank line between them only where the source has one or where the eye needs one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.segment import Segment
from rich.style import Style

from core.untrusted import inert_line
from tui.widgets.code_panel import code_panel
from tui.widgets.lines import BLANK, Line, Span, hang, line, wrap
from tui.widgets.markdown_inline import InlineSpans
from tui.widgets.markdown_table import Row, TableCell, table_lines
from tui.widgets.palette import Palette

_LONGEST_PARAGRAPH = 12_000  # characters; inline parsing of more would be felt while an answer streams
_MOST_BRACKETS = 400  # nested link brackets are quadratic in the parser
_NARROW = 16  # below this, nesting deeper costs no more cells
_ALWAYS_APART = {"fence", "code_block", "table_open", "hr", "blockquote_open"}


@dataclass(frozen=True)
class Block:
    """A block with all tokens that belong to it.

    Attributes:
        tokens: from its opening to its closing token.
        start: first source line.
        after_blank: whether a blank line of the source stands before it.
    """

    tokens: Sequence[Token]
    start: int
    after_blank: bool

    @property
    def kind(self) -> str:
        return self.tokens[0].type


def parser() -> MarkdownIt:
    """CommonMark with tables and ~~strike~~; without HTML, and without link definitions.

    A definition may come at the end of an answer and change its beginning; shown as text it changes nothing.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.disable(["reference", "html_block", "html_inline"])
    markdown.core.ruler.disable("inline")
    return markdown


def blocks(tokens: Sequence[Token], source_lines: Sequence[str], shift: int = 0) -> list[Block]:
    """The outermost blocks of a token stream; a list counts as one block per item.

    Args:
        tokens: balanced tokens.
        source_lines: the lines that the tokens' `map` counts, less `shift`.
        shift: source line of the first of `source_lines`.
    """
    found: list[Block] = []
    index = 0
    while index < len(tokens):
        if tokens[index].type in _LIST_MARKS:
            index += 1
            continue
        end = _closing(tokens, index)
        found.append(_block(tokens[index : end + 1], source_lines, shift))
        index = end + 1
    return found


_LIST_MARKS = {"bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close"}


def _closing(tokens: Sequence[Token], index: int) -> int:
    depth = 0
    for end in range(index, len(tokens)):
        depth += tokens[end].nesting
        if depth == 0:
            return end
    return len(tokens) - 1


def _block(tokens: Sequence[Token], source_lines: Sequence[str], shift: int) -> Block:
    start = tokens[0].map[0] if tokens[0].map else 0
    before = start - shift - 1
    return Block(tokens, start, 0 <= before < len(source_lines) and not source_lines[before].strip(" >\t"))


def gap(above: str, below: Block) -> int:
    """Blank rows between a block of kind `above` and the next."""
    if above == "heading_open":
        return 0
    apart = below.after_blank or below.kind == "heading_open" or {above, below.kind} & _ALWAYS_APART
    return 1 if apart else 0


class BlockRenderer:
    """Draws blocks with one palette."""

    def __init__(self, markdown: MarkdownIt, palette: Palette) -> None:
        self._markdown = markdown
        self._palette = palette
        self._cells: dict[tuple[str, str, str], TableCell] = {}

    def block(self, block: Block, source_lines: Sequence[str], width: int, base: Style) -> list[Line]:
        """The rows of one block."""
        first, inner = block.tokens[0], block.tokens[1:-1]
        match first.type:
            case "heading_open":
                level = int(first.tag[1:])
                return self._text(inner, width, self._palette.heading if level < 3 else self._palette.subheading)
            case "fence" | "code_block":
                return code_panel(first.content, first.info, width, self._palette)
            case "hr":
                return [Line((Segment("─" * min(width, 48), self._palette.rule),))]
            case "list_item_open":
                return self._item(block, source_lines, width, base)
            case "blockquote_open":
                return self._quote(block, source_lines, width, base + self._palette.quote)
            case "table_open":
                return self._table(inner, width)
            case _:
                return self._text(inner, width, base)

    def _inside(self, block: Block, source_lines: Sequence[str], width: int, base: Style) -> list[Line]:
        """The rows of the blocks in a container."""
        lines: list[Line] = []
        above = ""
        for each in blocks(block.tokens[1:-1], source_lines):
            if above:
                lines += [BLANK] * gap(above, each)
            lines += self.block(each, source_lines, width, base)
            above = each.kind
        return lines or [BLANK]

    def _quote(self, block: Block, source_lines: Sequence[str], width: int, base: Style) -> list[Line]:
        if width < _NARROW:
            return self._inside(block, source_lines, width, base)
        bar = Segment("│ ", self._palette.rule)
        return hang(self._inside(block, source_lines, width - 2, base), bar, bar)

    def _item(self, block: Block, source_lines: Sequence[str], width: int, base: Style) -> list[Line]:
        item = block.tokens[0]
        marker = f"{item.info}{item.markup} " if item.info else "• "
        if width < _NARROW:
            return [line(marker, self._palette.marker), *self._inside(block, source_lines, width, base)]
        rest = Segment(" " * len(marker), base)
        lines = self._inside(block, source_lines, width - len(marker), base)
        return hang(lines, Segment(marker, self._palette.marker), rest, copy_first=True)

    def _text(self, tokens: Sequence[Token], width: int, base: Style) -> list[Line]:
        return [each for token in tokens for spans in self._inline(token, base) for each in wrap(spans, width)]

    def _inline(self, token: Token, base: Style) -> list[list[Span]]:
        content = token.content
        if len(content) > _LONGEST_PARAGRAPH or content.count("[") > _MOST_BRACKETS:
            return [[(inert_line(each), base)] for each in content.split("\n")]
        children: list[Token] = []
        self._markdown.inline.parse(content, self._markdown, {}, children)
        return InlineSpans(self._palette, base).collect(children)

    def _table(self, tokens: Sequence[Token], width: int) -> list[Line]:
        rows: list[Row] = []
        for index, token in enumerate(tokens):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                rows[-1].append(self._cell(token, tokens[index + 1]))
        return table_lines(rows[0], rows[1:], width, self._palette)

    def _cell(self, opening: Token, inline: Token) -> TableCell:
        align = str(opening.attrs.get("style", "")).removeprefix("text-align:") or "left"
        known = (opening.type, align, inline.content)
        if known not in self._cells:
            style = self._palette.subheading if opening.type == "th_open" else self._palette.body
            spans = [span for each in self._inline(inline, style) for span in each]
            self._cells[known] = TableCell(spans, align)
        return self._cells[known]
