"""Text from models, data sets and file names, made harmless for a terminal.

Such text may hold escape sequences, bells, C1 controls, bidirectional overrides, zero-width characters or lone
surrogates. `inert` shows each of them as a visible stand-in and leaves everything else (all scripts, emoji, and by
default newlines and tabs) as it is, so nothing in the text can move the cursor, change a colour or reach the
clipboard. Markup of Rich and Textual is not treated here: callers hand such text to renderers as plain text
(`rich.text.Text`, `textual.content.Content`), never as markup.
"""

from __future__ import annotations

import re

_DANGEROUS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # C0 controls without tab and newline, and DEL
    "\x80-\x9f"  # C1 controls: CSI and OSC as one character
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb"
    "\ud800-\udfff"  # lone surrogates: no encoder takes them
    "\U000e0000-\U000e007f"  # invisible tags
    "]"
)


def _stand_in(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control picture: ␛ for escape, ␇ for bell
    if code == 0x7F:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"<U+{code:04X}>"


def inert(text: str) -> str:
    """The text with every control or invisible character replaced by a visible one; newlines and tabs stay.

    A carriage return before a newline is dropped. Zero-width joiners and variation selectors stay: emoji and some
    scripts need them, and they move nothing.
    """
    return _DANGEROUS.sub(_stand_in, text.replace("\r\n", "\n"))


def inert_line(text: str) -> str:
    """Like `inert`, and on one line: newlines and tabs become spaces. For names, titles and table cells."""
    return inert(text).replace("\n", " ").replace("\t", " ")
