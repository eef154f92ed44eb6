"""The inside of a paragraph: inline Markdown tokens as lines of styled spans.

A newline in the source is a newline on the screen: models write verses and addresses that way, and hardly ever wrap.
Links are shown as `text (address)`, never as terminal hyperlinks, so that nobody is sent where they did not look.
"""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it.token import Token
from rich.style import Style

from core.untrusted import inert_line
from tui.widgets.lines import Span
from tui.widgets.palette import Palette

_ATTRIBUTES = {
    "strong_open": Style(bold=True),
    "em_open": Style(italic=True),
    "s_open": Style(strike=True),
}


class InlineSpans:
    """Collects spans line by line; styles nest, as their tokens do."""

    def __init__(self, palette: Palette, base: Style) -> None:
        self._palette = palette
        self._styles = [base]
        self._links: list[tuple[str, int]] = []
        self.lines: list[list[Span]] = [[]]

    def collect(self, tokens: Iterable[Token]) -> list[list[Span]]:
        """The spans of each line of these tokens."""
        for token in tokens:
            self._add(token)
        return self.lines

    def _add(self, token: Token) -> None:
        if token.type in ("softbreak", "hardbreak"):
            self.lines.append([])
        elif token.type == "code_inline":
            # Character references were resolved by the parser, so the text is made harmless again here.
            self._put(token.content, self._styles[-1] + self._palette.inline_code)
        elif token.type == "image":
            self._put(token.content or str(token.attrs.get("src", "")), self._styles[-1] + Style(italic=True))
        elif token.type == "link_open":
            self._links.append((str(token.attrs.get("href", "")), self._written()))
            self._styles.append(self._styles[-1] + self._palette.link)
        elif token.type == "link_close":
            self._close_link()
        elif token.nesting > 0:
            self._styles.append(self._styles[-1] + _ATTRIBUTES.get(token.type, Style.null()))
        elif token.nesting < 0:
            self._styles.pop()
        else:
            self._put(token.content, self._styles[-1])

    def _put(self, text: str, style: Style) -> None:
        if text:
            self.lines[-1].append((inert_line(text), style))

    def _written(self) -> int:
        return sum(len(line) for line in self.lines)

    def _close_link(self) -> None:
        self._styles.pop()
        address, since = self._links.pop()
        spans = [span for line in self.lines for span in line][since:]
        shown = "".join(text for text, _style in spans)
        if address and address.removeprefix("mailto:") != shown:
            self._put(f" ({address})", self._styles[-1] + self._palette.muted)
